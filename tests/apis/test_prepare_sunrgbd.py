"""prepare sunrgbd: the extraction and the official download give the same, faults are named."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
from official_rooms import WORLD, write_official
from programs import run_warm
from scipy.io import savemat

from gemini_det3d.apis.config import mmdet3d_mim
from gemini_det3d.apis.sunrgbd.prepare import RoomOptions, prepare_sunrgbd
from gemini_det3d.cli import main
from gemini_det3d.formats.sunrgbd import SunInfos, read_depth_points
from gemini_det3d.worlds import make_rooms


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    make_rooms(folder, 3, 2, preset=WORLD)
    return folder


@pytest.fixture
def root(extracted, tmp_path):
    shutil.copytree(extracted, tmp_path / "set")
    return tmp_path / "set"


def error_lines(root, capsys, *options):
    code = main(["prepare", "sunrgbd", str(root), "--workers", "1", *options])
    captured = capsys.readouterr()
    lines = [line for line in captured.out.splitlines() if line.startswith("error")]
    return code, lines, captured.err


def test_prepare_writes_infos_and_points(root):
    assert prepare_sunrgbd(RoomOptions(root)) == 0
    infos = SunInfos(root / "sunrgbd_infos_train.pkl")
    assert infos.frames == ("000001", "000002", "000003")
    points = np.fromfile(root / "points" / "000001.bin", np.float32).reshape(-1, 6)
    original = read_depth_points(root / "sunrgbd_trainval" / "depth" / "000001.mat")
    assert np.array_equal(points, original)  # fewer than 50,000: all are kept
    assert len(SunInfos(root / "sunrgbd_infos_val.pkl")) == 2


def test_prepare_gives_the_infos_of_mmdet3d_own_converter(root):
    script = (
        "import sys, os, time; time.sleep = lambda s: None\n"
        f"sys.path.insert(0, {str(mmdet3d_mim())!r})\n"
        "from tools.dataset_converters.indoor_converter import create_indoor_info_file\n"
        "from tools.dataset_converters.update_infos_to_v2 import update_pkl_infos\n"
        "create_indoor_info_file('.', 'sunrgbd', workers=1)\n"
        "update_pkl_infos('sunrgbd', out_dir='.', pkl_path='./sunrgbd_infos_train.pkl')\n"
    )
    prepare_sunrgbd(RoomOptions(root))
    ours = pickle.loads((root / "sunrgbd_infos_train.pkl").read_bytes())
    run_warm("-c", script, cwd=root)
    theirs = pickle.loads((root / "sunrgbd_infos_train.pkl").read_bytes())
    assert ours["metainfo"]["categories"] == theirs["metainfo"]["categories"]
    assert len(ours["data_list"]) == len(theirs["data_list"])
    for mine, other in zip(ours["data_list"], theirs["data_list"]):
        assert mine["lidar_points"] == other["lidar_points"]
        camera, their_camera = mine["images"]["CAM0"], other["images"]["CAM0"]
        assert camera["img_path"] == their_camera["img_path"]
        assert (camera["width"], camera["height"]) == (61, 47)
        np.testing.assert_allclose(camera["depth2img"], their_camera["depth2img"], rtol=1e-5)
        assert len(mine["instances"]) == len(other["instances"])
        for a, b in zip(mine["instances"], other["instances"]):
            assert a["bbox_label_3d"] == b["bbox_label_3d"]
            np.testing.assert_allclose(a["bbox_3d"], b["bbox_3d"], atol=1e-6)


def test_prepare_again_takes_over_what_did_not_change(root, capsys):
    prepare_sunrgbd(RoomOptions(root))
    stamp = (root / "points" / "000001.bin").stat().st_mtime_ns
    (root / "points" / "000002.bin").unlink()
    prepare_sunrgbd(RoomOptions(root))
    assert (root / "points" / "000001.bin").stat().st_mtime_ns == stamp
    assert (root / "points" / "000002.bin").is_file()


def break_colours(path):
    points = read_depth_points(path)
    points[:, 3:] = np.random.default_rng(0).random((len(points), 3))
    savemat(path, {"instance": points})


def break_places(path):
    points = read_depth_points(path)
    points[:, 0] += 5.0
    savemat(path, {"instance": points})


def break_values(path):
    points = read_depth_points(path)
    points[3, 1] = np.nan
    savemat(path, {"instance": points})


FAULTS = {
    "missing calibration": ("calib/000002.txt", lambda p: p.unlink(), "no such file"),
    "missing image": ("image/000002.jpg", lambda p: p.unlink(), "no such file"),
    "cut-off image": (
        "image/000002.jpg", lambda p: p.write_bytes(p.read_bytes()[:200]), "not a readable image",
    ),
    "NaN points": ("depth/000002.mat", break_values, "1 of"),
    "empty room": (
        "depth/000002.mat", lambda p: savemat(p, {"instance": np.zeros((0, 6))}), "holds no points",
    ),
    "points beside the image": ("depth/000002.mat", break_places, "fall into the image"),
    "points of another image": ("depth/000002.mat", break_colours, "colours differ"),
    "broken label": ("label/000002.txt", lambda p: p.write_text("bed 1\n"), "2 columns"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_prepare_names_the_bad_file_in_one_line_and_writes_no_infos(root, capsys, name):
    file, damage, message = FAULTS[name]
    damage(root / "sunrgbd_trainval" / file)
    code, lines, error = error_lines(root, capsys)
    assert code == 1 and len(lines) == 1
    assert f"sunrgbd_trainval/{file}: " in lines[0] and message in lines[0]
    assert "--skip-bad" in error
    assert not (root / "sunrgbd_infos_train.pkl").exists()


def test_frames_of_both_lists_are_a_warning(root, capsys):
    path = root / "sunrgbd_trainval" / "val_data_idx.txt"
    path.write_text(path.read_text() + "1\n")
    assert main(["prepare", "sunrgbd", str(root), "--workers", "1", "--check-only"]) == 0
    said = capsys.readouterr().out
    assert "val: 1 frames are in train, too" in said and "0 errors, 1 warnings" in said


def test_prepare_skips_bad_frames_when_told_to(root, capsys):
    (root / "sunrgbd_trainval" / "calib" / "000002.txt").unlink()
    assert error_lines(root, capsys, "--skip-bad")[0] == 0
    assert SunInfos(root / "sunrgbd_infos_train.pkl").frames == ("000001", "000003")


def test_prepare_keeps_a_room_without_furniture(root):
    (root / "sunrgbd_trainval" / "label" / "000002.txt").write_text("")
    assert prepare_sunrgbd(RoomOptions(root)) == 0
    assert len(SunInfos(root / "sunrgbd_infos_train.pkl").objects("000002")) == 0


def test_prepare_check_only_writes_nothing(root, capsys):
    assert error_lines(root, capsys, "--check-only")[0] == 0
    assert not (root / "points").exists() and not list(root.glob("*.pkl"))


def test_prepare_without_data_says_what_it_wants(tmp_path, capsys):
    assert main(["prepare", "sunrgbd", str(tmp_path)]) == 2
    assert "holds neither sunrgbd_trainval/depth nor SUNRGBDMeta3DBB_v2.mat" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(("as_zip", "with_2d"), [(True, True), (False, False)])
def test_prepare_of_the_official_download_gives_what_the_extraction_gives(
    root, tmp_path, as_zip, with_2d
):
    official = tmp_path / "official"
    write_official(official, as_zip, with_2d)
    assert prepare_sunrgbd(RoomOptions(official)) == 0
    assert prepare_sunrgbd(RoomOptions(root)) == 0
    for split in ("train", "val"):
        ours = SunInfos(official / f"sunrgbd_infos_{split}.pkl")
        theirs = SunInfos(root / f"sunrgbd_infos_{split}.pkl")
        assert ours.frames == theirs.frames
        for name in ours.frames:
            np.testing.assert_allclose(ours.depth2img(name), theirs.depth2img(name), rtol=1e-5)
            assert ours.objects(name).names.tolist() == theirs.objects(name).names.tolist()
            np.testing.assert_allclose(ours.objects(name).boxes, theirs.objects(name).boxes,
                                       atol=1e-5)  # fmt: skip
            image = f"sunrgbd_trainval/image/{name}.jpg"
            assert (official / image).read_bytes() == (root / image).read_bytes()
            points, expected = (
                np.fromfile(folder / "points" / f"{name}.bin", np.float32).reshape(-1, 6)
                for folder in (official, root)
            )
            # Millimetres along the ray are all that the depth image can keep.
            np.testing.assert_allclose(points, expected, atol=1.2e-3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "SUNRGBD.zip").unlink(), "holds neither SUNRGBD/ nor SUNRGBD.zip"),
        (lambda f: shutil.rmtree(f / "SUNRGBDtoolbox"), "allsplit.mat"),
        (lambda f: (f / "SUNRGBDMeta3DBB_v2.mat").write_text("x"), "readable MATLAB file"),
    ],
)
def test_prepare_of_an_official_download_that_lacks_a_part_says_which(
    tmp_path, capsys, damage, message
):
    write_official(tmp_path / "official", as_zip=True)
    damage(tmp_path / "official")
    assert main(["prepare", "sunrgbd", str(tmp_path / "official")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "scale, said",
    [
        (1000, ["half of the points are more than", "boxes hold no point: do labels and points"]),
        (1, []),
    ],
)
def test_points_in_another_unit_than_metres_are_told(root, capsys, scale, said):
    for path in (root / "sunrgbd_trainval" / "depth").iterdir():
        points = read_depth_points(path)
        points[:, :3] *= scale  # they fall into the same pixels
        savemat(path, {"instance": points})
    assert main(["prepare", "sunrgbd", str(root), "--workers", "1"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert len(told) >= len(said) and all(any(part in line for line in told) for part in said)
    assert said or not told


def test_classes_spelt_otherwise_are_told(root, capsys):
    labels = sorted((root / "sunrgbd_trainval" / "label").glob("*.txt"))
    path = next(path for path in labels if "chair " in path.read_text())
    path.write_text(path.read_text().replace("chair ", "Chair ", 1))
    assert prepare_sunrgbd(RoomOptions(root)) == 0
    said = capsys.readouterr().out
    assert "1 objects are called 'Chair', not 'chair': the info files leave them out" in said


def test_list_that_is_missing_is_named_with_what_it_holds(root, capsys):
    (root / "sunrgbd_trainval" / "train_data_idx.txt").unlink()
    assert main(["prepare", "sunrgbd", str(root), "--workers", "1"]) == 2
    error = capsys.readouterr().err
    assert "train_data_idx.txt: no such file; it holds the number of a frame of train on" in error

"""``gemini-det3d prepare kitti``: every fault is a line, and mmdet3d's converter does the rest."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.kitti.canonical import canonical_calibration, canonical_labels
from gemini_det3d.apis.kitti.check import FrameChecker
from gemini_det3d.apis.kitti.splits import read_splits
from gemini_det3d.apis.prepare_kitti import Options, check_tree, prepare_kitti
from gemini_det3d.formats.boxes import project_box_outlines
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import (
    Calibration,
    read_calibration,
    read_objects,
    read_points,
    to_lidar_boxes,
    write_calibration,
    write_objects,
    write_points,
)

SIZE = (397, 131)
CALIBRATION = Calibration(
    p2=[[200.0, 0, 198, 9], [0, 200, 65, 0.2], [0, 0, 1, 0.003]],
    r0_rect=np.eye(3),
    tr_velo_to_cam=[[0, -1.0, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27]],
)
BOXES = np.array([[9.0, 1.0, -1.6, 4.1, 1.7, 1.5, 0.3], [7.0, -2.0, -1.6, 0.8, 0.6, 1.8, 1.2]])


def _write_frame(part: Path, frame: str, with_labels: bool = True) -> None:
    """A car and a pedestrian, hit by the points, labelled without error."""
    from gemini_det3d.formats.kitti import from_lidar_boxes

    rng = np.random.default_rng(int(frame))
    write_calibration(part / "calib" / f"{frame}.txt", CALIBRATION)
    for folder in ("image_2", "velodyne"):
        (part / folder).mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(part / "image_2" / f"{frame}.png")
    ground = rng.uniform([2, -20, -1.7], [40, 20, -1.7], (500, 3))
    inside = [box[:3] + rng.uniform(-0.2, 0.2, (53, 3)) + [0, 0, box[5] / 2] for box in BOXES]
    xyz = np.concatenate([ground, *inside])
    points = np.column_stack([xyz, rng.uniform(size=len(xyz))]).astype(np.float32)
    write_points(part / "velodyne" / f"{frame}.bin", points)
    if with_labels:
        objects = from_lidar_boxes(BOXES, ["Car", "Pedestrian"], None, CALIBRATION, SIZE)
        objects.truncated[:], objects.occluded[:] = 0, 0
        write_objects(part / "label_2" / f"{frame}.txt", objects)


def _make_tree(root: Path, train=("000001", "000003"), val=("000002",), test=()) -> Path:
    for frame in (*train, *val):
        _write_frame(root / "training", frame)
    for frame in test:
        _write_frame(root / "testing", frame, with_labels=False)
    (root / "ImageSets").mkdir()
    for split, frames in (("train", train), ("val", val), ("test", test)):
        (root / "ImageSets" / f"{split}.txt").write_text("".join(f + "\n" for f in frames))
    return root


@pytest.fixture
def tree(tmp_path):
    return _make_tree(tmp_path / "tree")


def _findings(tree, frame="000001", part="training", class_map=None):
    report = FrameChecker(tree, class_map or {})((part, frame))
    return [(f.level, f.file, f.fault) for f in report.findings]


def _edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_good_frame_has_no_findings(tree):
    assert _findings(tree) == []
    stats = FrameChecker(tree, {})(("training", "000001")).stats
    assert stats["points"] == 606 and 200 < stats["points_in_image"] < 606
    assert stats["classes"]["Car"]["count"] == 1
    assert stats["classes"]["Car"]["iou"] == [pytest.approx(1, abs=1e-3)]
    assert stats["classes"]["Pedestrian"]["points"][0] >= 53
    assert stats["classes"]["Car"]["difficulty"] in ([0, 1, 0, 0], [1, 0, 0, 0])


BAD_FILES = [
    ("calib", lambda p: p.unlink(), "no such file"),
    ("calib", lambda p: _edit(p, "P2:", "PX:"), "has no P2"),
    ("calib", lambda p: _edit(p, "R0_rect:", "RX:"), "has no R0_rect"),
    ("calib", lambda p: _edit(p, "Tr_velo_to_cam: ", "Tr_velo_to_cam: 7 "), "13 values, expected"),
    ("calib", lambda p: p.write_bytes(b"\xff\x00"), "is not a text file"),
    ("image_2", lambda p: p.unlink(), "no such file"),
    ("image_2", lambda p: p.rename(p.with_suffix(".jpg")), "there is 000001.jpg; mmdet3d's"),
    ("image_2", lambda p: p.write_bytes(p.read_bytes()[:3000]), "is not a readable image"),
    ("velodyne", lambda p: p.unlink(), "no such file"),
    ("velodyne", lambda p: p.write_bytes(p.read_bytes()[:-3]), "no whole number of points"),
    ("velodyne", lambda p: p.write_bytes(b""), "holds no points"),
    ("velodyne", lambda p: write_points(p, np.full((5, 4), np.nan)), "5 of 5 points are NaN"),
    ("velodyne", lambda p: write_points(p, np.full((5, 4), -3.0)), "0 of 5 points fall into"),
    ("label_2", lambda p: p.unlink(), "no such file"),
    ("label_2", lambda p: _edit(p, "Car", "Car 1"), "line 1: 16 columns, expected 15"),
    ("label_2", lambda p: _edit(p, "Car", "car"), "unknown class 'car'; rename it with"),
    ("label_2", lambda p: _edit(p, " 1.5 ", " nan "), "'nan' is not finite"),
    ("label_2", lambda p: _edit(p, " 1.5 ", " -1.5 "), "object 1 (Car) has dimensions -1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("folder", "spoil", "fault"), BAD_FILES, ids=lambda v: str(v)[:24])
def test_bad_file_is_one_error_that_names_it(tree, folder, spoil, fault):
    checker = FrameChecker(tree, {})
    path = checker.path("training", "000001", folder)
    spoil(path)
    errors = [f for f in _findings(tree) if f[0] == "error"]
    assert len(errors) == 1, errors
    assert errors[0][1] == path.relative_to(tree).as_posix()
    assert fault in errors[0][2] and "\n" not in errors[0][2]


SINGULAR = {
    "P2": " ".join(["1"] * 12),
    "R0_rect": "0 0 0 0 0 0 0 0 0",
    "Tr_velo_to_cam": "1 0 0 0 0 1 0 0 0 0 0 0",
}


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_matrix_is_an_error(tree, name):
    path = tree / "training" / "calib" / "000001.txt"
    lines = [n for n in path.read_text().splitlines() if not n.startswith(name + ":")]
    path.write_text("\n".join([*lines, f"{name}: {SINGULAR[name]}"]))
    assert ("error", "training/calib/000001.txt", f"{name} is singular") in _findings(tree)


def test_mirroring_calibration_is_an_error_and_a_skewed_one_a_warning(tree):
    path = tree / "training" / "calib" / "000001.txt"
    for factors, level, fault in (
        ([1, 1, -1], "error", "R0_rect mirrors (determinant -1)"),
        ([1, 1, 1.2], "warning", "R0_rect is no rotation"),
    ):
        write_calibration(
            path, Calibration(CALIBRATION.p2, np.diag(factors), CALIBRATION.tr_velo_to_cam)
        )
        assert any(f[0] == level and f[2].startswith(fault) for f in _findings(tree))


def test_label_that_does_not_fit_its_2d_box_is_a_warning(tree):
    path = tree / "training" / "label_2" / "000001.txt"
    objects = read_objects(path)
    objects.location[0, 0] -= 3
    write_objects(path, objects)
    assert any(
        f[0] == "warning" and f[2].startswith("object 1 (Car): the projected 3D box overlaps")
        for f in _findings(tree)
    )


def test_visible_object_without_points_is_a_warning(tree):
    path = tree / "training" / "velodyne" / "000001.bin"
    write_points(path, read_points(path)[:500])  # the ground alone
    assert ("warning", "training/label_2/000001.txt", "object 2 (Pedestrian) holds no points") in (
        _findings(tree)
    )


def test_implausible_values_are_warnings(tree):
    path = tree / "training" / "label_2" / "000001.txt"
    objects = read_objects(path)
    objects.dimensions[0] = objects.dimensions[0, ::-1]  # length first
    objects.rotation_y[1] = 90
    objects.truncated[1] = 2
    objects.occluded[1] = 7
    write_objects(path, objects)
    faults = " | ".join(fault for level, _, fault in _findings(tree) if level == "warning")
    for part in (
        "object 1 (Car) is 4.1 m high",
        "rotation_y 90",
        "truncated by 2",
        "occluded by 7",
    ):
        assert part in faults
    cloud = read_points(tree / "training" / "velodyne" / "000001.bin")
    write_points(tree / "training" / "velodyne" / "000001.bin", cloud * [1, 1, 1, 255])
    assert any("reflectance spans" in fault for _, _, fault in _findings(tree))


def test_renamed_class_is_no_error_and_counts_under_its_new_name(tree):
    _edit(tree / "training" / "label_2" / "000001.txt", "Car", "auto")
    assert _findings(tree, class_map={"auto": "Car"}) == []
    report = FrameChecker(tree, {"auto": "Car"})(("training", "000001"))
    assert report.stats["classes"]["Car"]["count"] == 1
    assert report.rewrite == ["label_2"]


def test_checking_goes_on_after_a_bad_file(tree, tmp_path, capsys):
    (tree / "training" / "image_2" / "000001.png").write_bytes(b"no image")
    (tree / "training" / "calib" / "000002.txt").unlink()
    report = tmp_path / "report.json"
    assert prepare_kitti(Options(tree, check_only=True, report=report)) == 1
    data = json.loads(report.read_text())
    files = {f["file"] for f in data["findings"] if f["level"] == "error"}
    assert files == {"training/image_2/000001.png", "training/calib/000002.txt"}
    assert len(data["frames"]) == 3
    text = capsys.readouterr().out
    assert "error    training/calib/000002.txt: no such file" in text
    assert "2 errors" in text


def test_check_only_writes_nothing_into_the_tree(tree):
    before = sorted(tree.rglob("*"))
    assert prepare_kitti(Options(tree, check_only=True)) == 0
    assert sorted(tree.rglob("*")) == before


def test_tree_with_errors_is_not_converted(tree, capsys):
    (tree / "training" / "velodyne" / "000001.bin").write_bytes(b"abc")
    assert prepare_kitti(Options(tree)) == 1
    assert "nothing converted: mend the errors, or leave 1 frames out with --skip-bad" in (
        capsys.readouterr().err
    )
    assert not list(tree.rglob("*.pkl"))


def test_lists_without_bad_frames_lie_beside_those_of_the_tree(tree, monkeypatch, capsys):
    from gemini_det3d.apis import prepare_kitti as module

    asked = []
    monkeypatch.setattr(module, "convert", lambda *args: asked.append(args) or {})
    (tree / "training" / "velodyne" / "000001.bin").write_bytes(b"abc")
    assert prepare_kitti(Options(tree, skip_bad=True)) == 0
    assert asked[0][1].frames == {"train": ["000003"], "val": ["000002"], "test": []}
    assert (tree / "ImageSets" / "train.txt").read_text().split() == ["000001", "000003"]
    assert (tree / "ImageSets_checked" / "train.txt").read_text().split() == ["000003"]
    assert "left out 1 frames with errors (training/000001)" in capsys.readouterr().out


def test_tree_of_bad_frames_is_not_converted_at_all(tree):
    for path in (tree / "training" / "calib").iterdir():
        path.write_text("")
    with pytest.raises(FormatError, match="every frame has an error; none is left"):
        prepare_kitti(Options(tree, skip_bad=True))


def test_unchanged_frames_are_taken_from_the_last_report(tree, tmp_path, monkeypatch):
    options = Options(tree, report=tmp_path / "report.json")
    first = check_tree(tree, options, options.report)
    checked = []
    original = FrameChecker.__call__
    monkeypatch.setattr(
        FrameChecker, "__call__", lambda self, task: checked.append(task) or original(self, task)
    )
    again = check_tree(tree, options, options.report)
    assert checked == []
    assert again.to_json() == first.to_json()
    (tree / "training" / "image_2" / "000002.png").write_bytes(b"no image")
    assert check_tree(tree, options, options.report).bad_frames() == {("training", "000002")}
    assert checked == [("training", "000002")]


def test_report_of_another_class_map_is_not_taken_over(tree, tmp_path):
    _edit(tree / "training" / "label_2" / "000001.txt", "Car", "auto")
    report = tmp_path / "report.json"
    mapped = Options(tree, report=report, class_map={"auto": "Car"})
    assert not check_tree(tree, mapped, report).bad_frames()
    assert check_tree(tree, Options(tree), report).bad_frames() == {("training", "000001")}


def test_workers_find_what_one_process_finds(tmp_path):
    frames = [f"{i:06d}" for i in range(17)]
    tree = _make_tree(tmp_path / "tree", frames)
    (tree / "training" / "velodyne" / "000005.bin").write_bytes(b"abc")
    reports = [check_tree(tree, Options(tree, workers=n)).to_json() for n in (1, 2)]
    assert reports[0] == reports[1]
    assert reports[0]["summary"]["errors"] == 1


def test_labels_that_never_fit_are_an_error_of_the_tree(tmp_path):
    frames = [f"{i:06d}" for i in range(7)]
    tree = _make_tree(tmp_path / "tree", frames)
    wrong = Calibration(
        CALIBRATION.p2 * [[3.0], [3.0], [1.0]], np.eye(3), CALIBRATION.tr_velo_to_cam
    )
    for frame in frames:
        write_calibration(tree / "training" / "calib" / f"{frame}.txt", wrong)
    findings = check_tree(tree, Options(tree)).findings
    assert any("labels and calibration do not fit together" in f.fault for f in findings)


def test_class_that_cannot_score_is_said(tree):
    path = tree / "training" / "label_2" / "000002.txt"
    objects = read_objects(path)
    objects.occluded[0] = 3
    write_objects(path, objects)
    faults = [f.fault for f in check_tree(tree, Options(tree)).findings]
    assert any("all 1 'Car' are beyond KITTI's hardest level" in fault for fault in faults)
    assert "no object of class 'Cyclist' in these frames" in faults


@pytest.mark.parametrize(
    ("split", "text", "level", "fault"),
    [
        ("train", "000001\n12\n", "error", "line 2: '12' is no frame of six digits"),
        ("train", "000001\n\n000001\n", "warning", "line 3: 000001 is listed twice"),
        ("val", "000001\n", "warning", "1 frames are in train.txt too"),
        ("val", None, "error", "no such file"),
        ("test", None, "warning", "no such file"),
    ],
)
def test_fault_of_a_frame_list_is_named(tree, split, text, level, fault):
    path = tree / "ImageSets" / f"{split}.txt"
    path.unlink() if text is None else path.write_text(text)
    findings = read_splits(tree).findings
    assert [(f.level, f.file) for f in findings] == [(level, f"ImageSets/{split}.txt")]
    assert fault in findings[0].fault


def test_tree_without_lists_or_without_a_folder_is_one_line(tree, tmp_path):
    shutil.rmtree(tree / "ImageSets")
    with pytest.raises(FormatError, match="train.txt: no such file; it lists the frames"):
        prepare_kitti(Options(tree))
    with pytest.raises(FormatError, match="nowhere: no such folder"):
        prepare_kitti(Options(tmp_path / "nowhere"))


def test_class_that_mmdet3d_does_not_know_is_refused(tree):
    with pytest.raises(ConfigError, match="class 'Auto' is none of mmdet3d's"):
        prepare_kitti(Options(tree, classes=("Auto",)))


def test_canonical_files_are_left_alone_and_others_keep_every_digit(tree, tmp_path):
    calib = tree / "training" / "calib" / "000001.txt"
    label = tree / "training" / "label_2" / "000001.txt"
    assert canonical_calibration(calib) is None and canonical_labels(label, {}) is None
    expected = read_calibration(calib)
    lines = calib.read_text().splitlines()
    calib.write_text("\n\n".join([*lines[5:], "note: 7", lines[2].replace(" ", "  "), lines[4]]))
    calib.write_text(canonical_calibration(calib))
    assert [n.split(":")[0] for n in calib.read_text().splitlines()][5] == "Tr_velo_to_cam"
    np.testing.assert_array_equal(read_calibration(calib).lidar2img, expected.lidar2img)
    first, second = label.read_text().splitlines()
    ignored = "DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10"
    label.write_text(f"{ignored}\n{first}\n\n{second.replace(' ', '  ')}")
    assert canonical_labels(label, {"Car": "Van"}) == (
        f"{first.replace('Car', 'Van')}\n{second}\n{ignored}\n"
    )


def _load(path):
    with path.open("rb") as file:
        return pickle.load(file)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A tree with everything that the converter alone stumbles over, converted elsewhere."""
    pytest.importorskip("mmdet3d", exc_type=ImportError)
    tree = _make_tree(
        tmp_path_factory.mktemp("raw") / "tree",
        train=("000001", "000003", "000004", "000006"),
        val=("000002", "000001"),
        test=(),
    )
    training = tree / "training"
    (training / "label_2" / "000003.txt").write_text("")
    calib = training / "calib" / "000004.txt"
    calib.write_text("\n".join(reversed(calib.read_text().splitlines())))
    label = training / "label_2" / "000004.txt"
    ignored = "DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10\n"
    label.write_text(ignored + label.read_text().replace("Car", "auto"))
    (training / "velodyne" / "000006.bin").write_bytes(b"abc")
    out = tmp_path_factory.mktemp("out") / "kitti"
    options = Options(tree, out=out, skip_bad=True, class_map={"auto": "Car"})
    for path in (*tree.rglob("*"), tree):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert prepare_kitti(options) == 0
    return tree, out, options


def test_info_files_hold_the_frames_of_their_splits(converted):
    _, out, _ = converted
    frames = {
        split: [info["sample_idx"] for info in _load(out / f"kitti_infos_{split}.pkl")["data_list"]]
        for split in ("train", "val", "trainval", "test")
    }
    assert frames == {"train": [1, 3, 4], "val": [2, 1], "trainval": [1, 3, 4, 2], "test": []}
    filled, empty = (_load(out / f"kitti_infos_{s}.pkl")["metainfo"] for s in ("trainval", "test"))
    assert filled == empty and filled["info_version"] == "1.1"


def test_info_files_hold_the_matrices_and_boxes_of_the_tree(converted):
    _, out, _ = converted
    by_frame = {i["sample_idx"]: i for i in _load(out / "kitti_infos_trainval.pkl")["data_list"]}
    for frame in (1, 2, 4):  # the calibration of 4 stands in another order
        camera = by_frame[frame]["images"]["CAM2"]
        np.testing.assert_allclose(camera["lidar2img"], CALIBRATION.lidar2img, rtol=1e-5, atol=1e-4)
        assert (camera["width"], camera["height"]) == SIZE
        labels = [instance["bbox_label"] for instance in by_frame[frame]["instances"]]
        assert labels[:2] == [2, 0]  # Car, Pedestrian; in 4 mapped, and in front of DontCare
        counts = [instance["num_lidar_pts"] for instance in by_frame[frame]["instances"]]
        assert min(counts[:2]) >= 53
    assert by_frame[3]["instances"] == []


def test_reduced_clouds_hold_the_points_that_the_image_sees(converted):
    from gemini_det3d.formats.boxes import project_points

    tree, out, _ = converted
    for frame in ("000001", "000002", "000003", "000004"):
        points = read_points(tree / "training" / "velodyne" / f"{frame}.bin")
        pixels, depth = project_points(points[:, :3], CALIBRATION.lidar2img)
        inside = (depth > 0) & (pixels > 0).all(1) & (pixels < SIZE).all(1)
        reduced = read_points(out / "training" / "velodyne_reduced" / f"{frame}.bin")
        np.testing.assert_array_equal(reduced, points[inside])


def test_output_folder_is_a_data_root_of_its_own(converted):
    tree, out, _ = converted
    image = out / "training" / "image_2" / "000001.png"
    assert image.samefile(tree / "training" / "image_2" / "000001.png")
    assert (out / "ImageSets" / "train.txt").read_text().split() == ["000001", "000003", "000004"]
    assert not (tree / "ImageSets_checked").exists()
    assert [p.name for p in out.iterdir() if p.name.startswith(".prepare")] == []


def test_second_run_converts_nothing(converted, capsys):
    _, out, options = converted
    before = (out / "kitti_infos_train.pkl").stat().st_mtime_ns
    assert prepare_kitti(options) == 0
    assert "converted before and unchanged since" in capsys.readouterr().out
    assert (out / "kitti_infos_train.pkl").stat().st_mtime_ns == before


def test_mmdet3d_loads_a_frame_of_the_converted_tree(converted):
    pytest.importorskip("mmdet3d", exc_type=ImportError)
    from mmdet3d.datasets import KittiDataset

    _, out, _ = converted
    dataset = KittiDataset(
        data_root=str(out),
        ann_file="kitti_infos_train.pkl",
        data_prefix=dict(pts="training/velodyne_reduced", img="training/image_2"),
        modality=dict(use_lidar=True, use_camera=True),
        metainfo=dict(classes=["Pedestrian", "Cyclist", "Car"]),
        filter_empty_gt=False,
    )
    info = dataset.get_data_info(0)
    assert os.path.samefile(info["img_path"], out / "training" / "image_2" / "000001.png")
    boxes = info["ann_info"]["gt_bboxes_3d"].tensor.numpy()
    np.testing.assert_allclose(boxes, BOXES, atol=1e-4)
    np.testing.assert_array_equal(info["ann_info"]["gt_labels_3d"], [2, 0])


def test_failing_converter_is_one_line_and_leaves_its_words(tree, monkeypatch):
    from gemini_det3d.apis.kitti import convert as converting

    pytest.importorskip("mmdet3d", exc_type=ImportError)
    monkeypatch.setattr(converting, "_CHILD", "print('step: x'); raise OSError('disk full')")
    with pytest.raises(FormatError, match=r"converter failed \(OSError: disk full\)") as error:
        prepare_kitti(Options(tree))
    assert "disk full" in (tree / "kitti_convert.log").read_text()
    assert "\n" not in str(error.value)
    assert not list(tree.glob(".prepare_*")) and not list(tree.glob("*.pkl"))


def test_real_frames_pass_the_check(shared_dir):
    root = shared_dir / "data" / "kitti_mini"
    report = check_tree(root, Options(root))
    assert not [f for f in report.all_findings() if f.level == "error"]
    assert not [f for frame in report.frames.values() for f in frame.findings]
    table = report.class_table("train")
    assert {name: entry["count"] for name, entry in table.items()} == {
        "Car": 2, "Cyclist": 1, "Misc": 1, "Pedestrian": 1, "Truck": 1,
    }  # fmt: skip
    assert min(iou for entry in table.values() for iou in entry["iou"]) > 0.85


@pytest.mark.slow
def test_real_frames_convert_to_what_their_files_say(shared_dir, tmp_path):
    pytest.importorskip("mmdet3d", exc_type=ImportError)
    root = shared_dir / "data" / "kitti_mini"
    assert prepare_kitti(Options(root, out=tmp_path / "kitti", gt_database=True)) == 0
    cut_out = sorted(p.name for p in (tmp_path / "kitti" / "kitti_gt_database").iterdir())
    assert cut_out == [
        "0_Pedestrian_0.bin", "1_Car_1.bin", "1_Cyclist_2.bin", "1_Truck_0.bin", "2_Car_1.bin",
        "2_Misc_0.bin",
    ]  # fmt: skip
    for info in _load(tmp_path / "kitti" / "kitti_infos_train.pkl")["data_list"]:
        frame = f"{info['sample_idx']:06d}"
        calibration = read_calibration(root / "training" / "calib" / f"{frame}.txt")
        camera = info["images"]["CAM2"]
        np.testing.assert_allclose(camera["lidar2img"], calibration.lidar2img, rtol=1e-4, atol=1e-3)
        objects = read_objects(root / "training" / "label_2" / f"{frame}.txt")
        assert len(info["instances"]) == len(objects)
        objects = objects.select(objects.name != "DontCare")
        outlines = project_box_outlines(
            to_lidar_boxes(objects, calibration), calibration.lidar2img,
            (camera["width"], camera["height"]),
        )  # fmt: skip
        for instance, outline in zip(info["instances"], outlines):
            assert instance["num_lidar_pts"] > 0
            np.testing.assert_allclose(instance["bbox"], outline, atol=10)

"""``gemini-det3d prepare kitti``: mmdet3d's converter gets what it can read; nothing is lost."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from kitti_camera import CALIBRATION, SIZE
from trees import BOXES, make_tree

from gemini_det3d.apis.kitti.prepare import Options, prepare_kitti
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import (
    read_calibration,
    read_objects,
    read_points,
    to_lidar_boxes,
)
from gemini_det3d.geometry.boxes import project_box_outlines


def _load(path):
    with path.open("rb") as file:
        return pickle.load(file)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A tree with everything that the converter alone stumbles over, converted elsewhere."""
    pytest.importorskip("mmdet3d", exc_type=ImportError)
    tree = make_tree(
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
    from gemini_det3d.geometry.boxes import project_points

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
    with pytest.raises(FormatError, match="converter failed: OSError: disk full .*log") as error:
        prepare_kitti(Options(tree))
    assert "disk full" in (tree / "kitti_convert.log").read_text()
    assert "\n" not in str(error.value)
    assert not list(tree.glob(".prepare_*")) and not list(tree.glob("*.pkl"))


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

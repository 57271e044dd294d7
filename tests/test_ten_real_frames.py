"""All ten labelled KITTI frames: checked, aligned, drawn; labels where annotators drew them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from gemini_det3d.apis.kitti.check import FrameChecker
from gemini_det3d.apis.kitti.evaluate import evaluate_files
from gemini_det3d.cli import main
from gemini_det3d.formats.kitti import (
    read_calibration,
    read_image_size,
    read_objects,
    read_points,
    to_lidar_boxes,
)
from gemini_det3d.geometry.boxes import project_box_outlines

FRAMES = {
    "kitti_mini": ("000000", "000001", "000002"),
    "kitti_more": ("000003", "000004", "000005", "000007", "000076", "001545", "002155"),
}
ALL = [(folder, frame) for folder, frames in FRAMES.items() for frame in frames]


def files(shared_dir: Path, folder: str, frame: str) -> dict[str, Path]:
    root = shared_dir / "data" / folder / "training"
    kinds = {"calib": ".txt", "image_2": ".png", "velodyne": ".bin", "label_2": ".txt"}
    return {kind: root / kind / f"{frame}{suffix}" for kind, suffix in kinds.items()}


@pytest.mark.parametrize("folder, frame", ALL)
def test_check_of_a_real_frame_finds_no_error(shared_dir, folder: str, frame: str) -> None:
    report = FrameChecker(shared_dir / "data" / folder, {})(("training", frame))
    assert [finding for finding in report.findings if finding.level == "error"] == []
    assert report.stats["points_in_image"] > 10000


def overlaps_and_points(paths: dict[str, Path]) -> tuple[np.ndarray, list[int]]:
    """Of objects that show whole: IoU of projected 3D and drawn 2D boxes, and points near them."""
    objects = read_objects(paths["label_2"])
    is_whole = (objects.truncated < 0.3) & (objects.occluded == 0)  # 2D boxes are of what shows
    objects = objects.select((objects.name != "DontCare") & is_whole)
    calibration = read_calibration(paths["calib"])
    boxes = to_lidar_boxes(objects, calibration)
    outlines = project_box_outlines(boxes, calibration.lidar2img, read_image_size(paths["image_2"]))
    low = np.maximum(outlines[:, :2], objects.bbox[:, :2])
    high = np.minimum(outlines[:, 2:], objects.bbox[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (outlines, objects.bbox)]
    points = read_points(paths["velodyne"])[:, :3]
    near = [(np.linalg.norm(points - (b[:3] + [0, 0, b[5] / 2]), axis=1) < max(b[3:6])).sum()
            for b in boxes]  # fmt: skip
    return shared / (areas[0] + areas[1] - shared), near


def test_labels_fall_where_annotators_drew_them_and_hold_points(shared_dir: Path) -> None:
    found = [overlaps_and_points(files(shared_dir, *frame)) for frame in ALL]
    overlap = np.concatenate([overlap for overlap, _ in found])
    near = np.concatenate([near for _, near in found])
    assert len(overlap) >= 20
    assert np.median(overlap) > 0.8
    assert (near > 0).mean() > 0.9


@pytest.fixture(scope="module")
def tree(shared_dir: Path, tmp_path_factory) -> Path:
    """The ten frames, prepared."""
    pytest.importorskip("mmdet3d")
    root = tmp_path_factory.mktemp("ten") / "kitti"
    for folder, frame in ALL:
        for kind, path in files(shared_dir, folder, frame).items():
            (root / "training" / kind).mkdir(parents=True, exist_ok=True)
            (root / "training" / kind / path.name).symlink_to(path)
    (root / "ImageSets").mkdir()
    for split in ("train", "val"):
        lines = "".join(f"{frame}\n" for _, frame in ALL)
        (root / "ImageSets" / f"{split}.txt").write_text(lines)
    assert main(["prepare", "kitti", str(root), "--jobs", "1"]) == 0
    return root


CONFIG = "mvxnet_gemini-point_r18_1xb1-overfit_kitti-3d-3class"


@pytest.mark.slow
def test_all_ten_are_aligned_in_the_training_pipeline(tree: Path, capsys) -> None:
    out = tree / "pictures"
    root = f"train_dataloader.dataset.dataset.data_root={tree}/"
    command = ["check-alignment", CONFIG, "--samples", "10", "--pictures", "10"]
    assert main([*command, "--out", str(out), "--cfg-options", root]) == 0
    line = re.compile(r"^ *([\d.]+)  .* \(median of 31 objects", re.MULTILINE)
    medians = [float(value) for value in line.findall(capsys.readouterr().out)]
    assert medians == pytest.approx([0.973, 0.990, 0.002, 1.000], abs=0.0015)
    assert sorted(path.stem for path in out.glob("*.png")) == sorted(frame for _, frame in ALL)


def changed_infos(tree: Path, change) -> Path:
    """A copy of the info file with other matrices."""
    infos = pickle.loads((tree / "kitti_infos_train.pkl").read_bytes())  # written above
    for info in infos["data_list"]:
        camera = info["images"]["CAM2"]
        camera["lidar2cam"] = change(np.array(camera["lidar2cam"])).tolist()
    path = tree / "changed.pkl"
    path.write_bytes(pickle.dumps(infos))
    return path


@pytest.mark.slow
def test_inverse_matrices_are_named_by_check_alignment_and_draw(tree, tmp_path, capsys) -> None:
    name = changed_infos(tree, np.linalg.inv).name
    train, test = "train_dataloader.dataset.dataset", "test_dataloader.dataset"
    command = ["check-alignment", CONFIG, "--samples", "4", "--pictures", "0", "--cfg-options"]
    assert main([*command, f"{train}.data_root={tree}/", f"{train}.ann_file={name}"]) == 1
    assert "it looks like camera-to-LiDAR" in capsys.readouterr().out
    options = ["--cfg-options", f"{test}.data_root={tree}/", f"{test}.ann_file={name}"]
    checkpoint = random_checkpoint(tmp_path / "random.pth")
    command = ["draw", CONFIG, str(checkpoint), "--out", str(tmp_path / "out"), "--frames", "1"]
    assert main([*command, *options]) == 2
    error = capsys.readouterr().err
    assert "000000" in error and "it looks like camera-to-LiDAR" in error


@pytest.mark.slow
def test_frames_are_drawn(tree: Path, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(tmp_path / "random.pth")
    command = ["draw", CONFIG, str(checkpoint), "--out", str(tmp_path / "out"), "--frames", "2"]
    assert main([*command, "--cfg-options", f"test_dataloader.dataset.data_root={tree}/"]) == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


LEARNED = "mvxnet_gemini-point_r18_1xb1-toy-overfit_kitti-3d-3class"
# One run gave 88, 100 and 100. Of 11, 8 and 2 boxes one more or less moves that by 9, 13 and 50,
# and another machine rounds differently.
LEAST_AP = {
    "Car/3d_AP40_moderate_0.50": 70.0,
    "Pedestrian/3d_AP40_moderate_0.25": 85.0,
    "Cyclist/3d_AP40_moderate_0.25": 50.0,
}


@pytest.mark.slow
def test_ten_frames_are_learned_by_heart(tree: Path, tmp_path: Path) -> None:
    from programs import run_python

    found = tmp_path / "found"
    run_python(
        *("-m", "gemini_det3d.cli", "train", LEARNED, "--work-dir", tmp_path / "work"),
        *("--cfg-options", f"data_root={tree}/", "randomness.seed=0"),
        f"val_evaluator.txt_dir={found}",
        cwd=tmp_path,
    )
    values = evaluate_files(found, tree / "training" / "label_2", progress=False).result.as_dict()
    assert {name: values[name] for name in LEAST_AP if values[name] < LEAST_AP[name]} == {}


def random_checkpoint(path: Path) -> Path:
    import torch
    from mmdet3d.registry import MODELS
    from mmengine.registry import init_default_scope

    import gemini_det3d.plugin  # noqa: F401  registers
    from gemini_det3d.apis.config import read_changed_config

    init_default_scope("mmdet3d")
    model = MODELS.build(read_changed_config(CONFIG, []).model)
    classes = ("Pedestrian", "Cyclist", "Car")
    meta = {"dataset_meta": {"classes": classes}}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, path)
    return path

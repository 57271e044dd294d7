"""All ten labelled KITTI frames: checked, and their labels where annotators drew them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gemini_det3d.apis.kitti.check import FrameChecker
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

"""Small raw KITTI trees, right in every file, to convert or to spoil."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from kitti_camera import CALIBRATION, SIZE
from PIL import Image

from gemini_det3d.formats.kitti import (
    from_lidar_boxes,
    write_calibration,
    write_objects,
    write_points,
)

BOXES = np.array([[9.0, 1.0, -1.6, 4.1, 1.7, 1.5, 0.3], [7.0, -2.0, -1.6, 0.8, 0.6, 1.8, 1.2]])


def write_frame(part: Path, frame: str, with_labels: bool = True) -> None:
    """A car and a pedestrian, hit by the points, labelled without error."""
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


def make_tree(root: Path, train=("000001", "000003"), val=("000002",), test=()) -> Path:
    for frame in (*train, *val):
        write_frame(root / "training", frame)
    for frame in test:
        write_frame(root / "testing", frame, with_labels=False)
    (root / "ImageSets").mkdir()
    for split, frames in (("train", train), ("val", val), ("test", test)):
        (root / "ImageSets" / f"{split}.txt").write_text("".join(f + "\n" for f in frames))
    return root


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))

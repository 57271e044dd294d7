"""Two frames in KITTI's layout with two result sets, for the viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gemini_det3d.formats.kitti import (
    Calibration,
    Objects,
    write_calibration,
    write_objects,
    write_points,
)

LIDAR2CAM = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]])
P2 = np.array([[70.0, 0, 61, 0], [0, 70, 37, 0], [0, 0, 1, 0]])


def objects(names, score=None, shift=0.0) -> Objects:
    n = len(names)
    location = np.array([[1.0 + 4 * i, 1.5, 12.0 + shift] for i in range(n)]).reshape(n, 3)
    zeros, bbox = np.zeros(n), np.tile([40.0, 30, 70, 60], (n, 1))
    return Objects(
        names,
        zeros,
        zeros,
        zeros,
        bbox,
        np.tile([1.5, 1.7, 4.0], (n, 1)),
        location,
        zeros,
        None if score is None else np.full(n, score),
    )


def write_street(tmp_path: Path) -> Path:
    """Two frames; set `a` finds the first car, `b` has another class and lacks a file."""
    folder = tmp_path / "wörld" / "training"
    for number, name in enumerate(("000000", "000001")):
        points = np.random.default_rng(number).uniform([0, -9, -2, 0], [30, 9, 2, 1], (503, 4))
        write_points(folder / "velodyne" / f"{name}.bin", points)
        write_calibration(folder / "calib" / f"{name}.txt", Calibration(P2, np.eye(3), LIDAR2CAM))
        write_objects(folder / "label_2" / f"{name}.txt", objects(["Car", "DontCare"]))
        (folder / "image_2").mkdir(exist_ok=True)
        Image.new("RGB", (121, 73), (9, 90, 9)).save(folder / "image_2" / f"{name}.png")
        write_objects(tmp_path / "a" / f"{name}.txt", objects(["Car"], 0.8, 20.0 * number))
    write_objects(tmp_path / "b" / "0.txt", objects(["<i>Bus"], 0.9))
    return tmp_path

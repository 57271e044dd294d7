"""A frame of the viewer from arrays: points, an image, two labels and two detections."""

from __future__ import annotations

import numpy as np

from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.page import Camera, ViewFrame

CAM2IMG = np.array([[70.0, 0, 61, 0], [0, 70, 37, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
LIDAR2CAM = np.array([[0.0, -1, 0, 0.3], [0, 0, -1, 0.2], [1, 0, 0, -0.1], [0, 0, 0, 1]])
LIDAR2IMG = CAM2IMG @ LIDAR2CAM
IMAGE = np.random.default_rng(5).integers(0, 255, (73, 121, 3)).astype(np.uint8)
TRUTH = LabeledBoxes([[9, 1, -1, 4, 2, 1.5, 0.3], [17, -5, -1, 1, 0.7, 1.8, 0]], ["Car", "Walker"])
# Near the camera: an edge is cut at the near plane.
FOUND = LabeledBoxes(
    [[9.2, 1, -1, 4, 2, 1.5, 0.3], [1, 0.5, -1, 4, 2, 2, 0]], ["Car"] * 2, [0.9, 0.4]
)


def frame(num_points=1009, **changes) -> ViewFrame:
    points = np.random.default_rng(3).uniform([0, -20, -2, 0], [40, 20, 3, 1], (num_points, 4))
    parts = {
        "name": "000007",
        "points": points.astype(np.float32),
        "cameras": [Camera(IMAGE, LIDAR2IMG, "front")],
        "truth": TRUTH,
        "results": [FOUND],
    }
    return ViewFrame(**{**parts, **changes})

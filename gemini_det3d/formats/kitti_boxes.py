"""KITTI objects (camera frame) <-> boxes in mmdet3d's LiDAR frame.

Angles follow mmdet3d: yaw and ``rotation_y`` differ by sign and a quarter turn, and the small
tilt between the two sensors moves centres but turns no box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gemini_det3d.formats.kitti_calibration import Calibration
from gemini_det3d.formats.kitti_objects import Objects
from gemini_det3d.geometry.boxes import project_box_outlines


def to_lidar_boxes(objects: Objects, calibration: Calibration) -> np.ndarray:
    """Boxes of objects.

    Args:
        objects: N objects. ``DontCare`` regions have no box; select them away first.
        calibration: Calibration of their frame.

    Returns:
        ``(N, 7)`` float64: x, y, z of the bottom centre, length, width, height (metres), yaw
        (radians in [-pi, pi), from +x towards +y), in mmdet3d's LiDAR frame.
    """
    cam2lidar = np.linalg.inv(calibration.lidar2cam)
    centers = objects.location @ cam2lidar[:3, :3].T + cam2lidar[:3, 3]
    height, width, length = objects.dimensions.T
    yaw = wrap_angle(-objects.rotation_y - np.pi / 2)
    return np.column_stack([centers, length, width, height, yaw])


def from_lidar_boxes(
    boxes: np.ndarray,
    names: Sequence[str],
    scores: np.ndarray | None,
    calibration: Calibration,
    image_size: tuple[int, int],
) -> Objects:
    """Objects of boxes, as a result file has them.

    Args:
        boxes: ``(N, 7)`` boxes as :func:`to_lidar_boxes` returns them.
        names: N class names.
        scores: ``(N,)``, or None for ground truth.
        calibration: Calibration of the frame.
        image_size: ``(width, height)`` in pixels.

    Returns:
        N objects in the same order. ``bbox`` surrounds the projected box within the image (no
        area for one that does not reach it); ``truncated`` and ``occluded`` are -1.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 7)
    lidar2cam = calibration.lidar2cam
    location = boxes[:, :3] @ lidar2cam[:3, :3].T + lidar2cam[:3, 3]
    rotation_y = wrap_angle(-boxes[:, 6] - np.pi / 2)
    return Objects(
        name=np.array(list(names), dtype=np.str_),
        truncated=np.full(len(boxes), -1.0),
        occluded=np.full(len(boxes), -1),
        alpha=wrap_angle(rotation_y - np.arctan2(location[:, 0], location[:, 2])),
        bbox=project_box_outlines(boxes, calibration.lidar2img, image_size),
        dimensions=boxes[:, [5, 4, 3]],
        location=location,
        rotation_y=rotation_y,
        score=None if scores is None else np.asarray(scores, dtype=np.float64),
    )


def wrap_angle(angle_rad: np.ndarray) -> np.ndarray:
    """The same angle in [-pi, pi).

    Args:
        angle_rad: Radians, any shape.

    Returns:
        Radians, same shape.
    """
    return angle_rad - 2 * np.pi * np.floor(angle_rad / (2 * np.pi) + 0.5)

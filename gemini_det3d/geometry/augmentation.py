"""Augmentations as matrices, so that undoing them is one inverse.

mmdet3d augments points step by step and records the steps ("R" rotate, "S" scale, "T" translate,
"HF"/"VF" flips) in ``transformation_3d_flow``; images are resized, cropped, flipped, and perhaps
rotated. Both are affine, so each becomes one matrix and the whole way from an augmented point to an
augmented pixel is a single product (see :func:`gemini_det3d.geometry.point_to_pixel_matrix`).

Shapes: ``(4, 4)`` acts on homogeneous columns ``[x, y, z, 1]``, ``(3, 3)`` on ``[u, v, 1]``.
All float64: the matrices are tiny and rounding here would move every pixel. They are made on the
host, in numpy, so that a device is asked for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# The axis whose sign a flip changes, per mmdet3d coordinate frame
# (LiDAR: x front, y left; depth: x right, y front; camera: x right, z front).
FLIP_AXIS = {
    "LIDAR": {"HF": 1, "VF": 0},
    "DEPTH": {"HF": 0, "VF": 1},
    "CAMERA": {"HF": 0, "VF": 2},
}
# Of a pixel (u, v), by mmdet's name of the flip.
_FLIPPED = {"horizontal": (0,), "vertical": (1,), "diagonal": (0, 1)}


def points_matrix(
    flow: Sequence[str],
    rotation: Tensor | None = None,
    scale: float | None = None,
    translation: Tensor | None = None,
    coord_type: str = "LIDAR",
) -> Tensor:
    """Matrix of a recorded sequence of point augmentations, original -> augmented.

    Args:
        flow: The steps in the order they were applied, out of R, S, T, HF, VF.
        rotation: ``(3, 3)`` in mmdet3d's row-vector convention (``augmented = point @ rotation``).
        scale: Factor of the "S" step.
        translation: ``(3,)`` metres, of the "T" step.
        coord_type: 'LIDAR', 'DEPTH' or 'CAMERA'; decides which axis a flip changes.

    Returns:
        ``(4, 4)`` float64.

    Raises:
        ValueError: An unknown step or frame, a step whose value was not given, or one that was
            taken twice, with values of which the record keeps the last.
    """
    if coord_type not in FLIP_AXIS:
        raise ValueError(f"coord_type must be one of {sorted(FLIP_AXIS)}, got {coord_type!r}")
    values = {"R": rotation, "S": scale, "T": translation}
    matrix = np.eye(4)
    for step in flow:
        if step in values and values[step] is None:
            raise ValueError(f"step {step!r} of the augmentation was recorded without its value")
        if step in values and list(flow).count(step) > 1:
            raise ValueError(
                f"step {step!r} of the augmentation was taken twice, and its first value is lost: "
                "augment the points in one GlobalRotScaleTrans"
            )
        matrix = _step_matrix(step, values, coord_type) @ matrix
    return torch.from_numpy(matrix)


def image_matrix(
    scale: Sequence[float],
    crop_offset: Sequence[float] = (0.0, 0.0),
    flip: bool = False,
    width_px: float | None = None,
    rotation_rad: float = 0.0,
    height_px: float | None = None,
    flip_direction: str = "horizontal",
) -> Tensor:
    """Matrix of an image augmentation: resize, then crop, then flip, then rotation.

    Pixel coordinates are continuous with the image's left edge at 0 and right edge at its width,
    so a resize is a plain factor and a flip is ``width - u`` (``height - v``), both exact.

    Args:
        scale: ``(w_scale, h_scale)`` of the resize.
        crop_offset: ``(left, top)`` of the crop in pixels of the resized image.
        flip: Whether the image was mirrored.
        width_px: Width of the image when it was flipped (after the crop, before padding).
        rotation_rad: Angle about the image's centre, from u towards v (clockwise as seen).
        height_px: Height of the image when it was flipped or rotated.
        flip_direction: Of a flip: 'horizontal' (left to right), 'vertical' or 'diagonal' (both).

    Returns:
        ``(3, 3)`` float64, original pixel -> augmented pixel.

    Raises:
        ValueError: A flip or a rotation without the sizes it needs, or another direction.
    """
    matrix = np.array(
        [[scale[0], 0, -crop_offset[0]], [0, scale[1], -crop_offset[1]], [0, 0, 1]], np.float64
    )
    if flip:
        matrix = _flip_matrix(flip_direction, width_px, height_px) @ matrix
    if rotation_rad:
        if width_px is None or height_px is None:
            raise ValueError("a rotated image needs width_px and height_px")
        matrix = _rotation_about(width_px / 2, height_px / 2, rotation_rad) @ matrix
    return torch.from_numpy(matrix)


def _flip_matrix(direction: str, width_px: float | None, height_px: float | None) -> np.ndarray:
    sizes = (width_px, height_px)
    if direction not in _FLIPPED:
        known = ", ".join(_FLIPPED)
        raise ValueError(f"an image is flipped in one of {known}, got {direction!r}")
    matrix = np.eye(3)
    for axis in _FLIPPED[direction]:
        if sizes[axis] is None:
            raise ValueError(f"a flipped image needs {('width_px', 'height_px')[axis]}")
        matrix[axis, axis], matrix[axis, 2] = -1, sizes[axis]
    return matrix


def _rotation_about(u: float, v: float, angle_rad: float) -> np.ndarray:
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    rows = [[c, -s, u - c * u + s * v], [s, c, v - s * u - c * v], [0, 0, 1]]
    return np.array(rows, np.float64)


def _step_matrix(step: str, values: dict, coord_type: str) -> np.ndarray:
    matrix = np.eye(4)
    if step == "R":
        matrix[:3, :3] = np.asarray(values["R"], np.float64).T
    elif step == "S":
        matrix[:3, :3] *= float(values["S"])
    elif step == "T":
        matrix[:3, 3] = np.asarray(values["T"], np.float64)
    elif step in FLIP_AXIS[coord_type]:
        axis = FLIP_AXIS[coord_type][step]
        matrix[axis, axis] = -1
    else:
        raise ValueError(
            f"unknown step {step!r} in the recorded augmentation; known: R, S, T, HF, VF"
        )
    return matrix

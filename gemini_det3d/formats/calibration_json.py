"""Calibration as intrinsics and extrinsics in JSON, for cameras that are none of KITTI's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gemini_det3d.formats.calibration_check import check_matrices
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti_calibration import Calibration, read_calibration
from gemini_det3d.formats.text import read_json


def read_any_calibration(path: str | os.PathLike) -> Calibration:
    """Read a KITTI calibration file, or intrinsics and extrinsics from JSON.

    Args:
        path: A text file in KITTI's form, or a .json file with ``cam2img`` (3 x 3 or 3 x 4,
            camera frame to pixels) and ``lidar2cam`` (3 x 4 or 4 x 4, LiDAR to camera frame,
            metres).

    Raises:
        FormatError: It cannot be read, or lacks a matrix.
    """
    if Path(path).suffix.lower() != ".json":
        return read_calibration(path)
    return calibration_from(read_json(path), path)


def calibration_from(data: Any, path: str | os.PathLike = "calibration") -> Calibration:
    """A calibration from its two matrices.

    Args:
        data: Mapping with ``cam2img`` and ``lidar2cam``, as :func:`read_any_calibration` has them.
        path: Where they come from, for the errors.

    Raises:
        FormatError: A matrix is missing, of another shape, singular, not finite, or cannot be one:
            transposed, mirrored, in millimetres.
    """
    cam2img = _matrix(path, data, "cam2img", ((3, 3), (3, 4)))
    lidar2cam = _matrix(path, data, "lidar2cam", ((3, 4), (4, 4)))
    for fault in check_matrices(lidar2cam, cam2img):
        if fault.level == "error":
            raise FormatError(path, fault.text)
    p2 = np.zeros((3, 4))
    p2[:, : cam2img.shape[1]] = cam2img
    return Calibration(p2, np.eye(3), lidar2cam[:3])


def _matrix(
    path: str | os.PathLike, data: Any, name: str, shapes: Sequence[tuple[int, int]]
) -> np.ndarray:
    if not isinstance(data, Mapping) or name not in data:
        raise FormatError(path, f"has no {name}")
    wanted = " or ".join(f"{rows} x {columns}" for rows, columns in shapes)
    try:
        matrix = np.array(data[name], dtype=np.float64)
    except (TypeError, ValueError):
        raise FormatError(path, f"{name} is no matrix of numbers; expected {wanted}") from None
    if matrix.shape not in shapes:
        shape = " x ".join(map(str, matrix.shape))
        raise FormatError(path, f"{name} is {shape}, expected {wanted}")
    if not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix[:3, :3]) < 3:
        raise FormatError(path, f"{name} is singular or not finite")
    return matrix

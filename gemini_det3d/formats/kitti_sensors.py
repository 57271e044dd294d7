"""KITTI point clouds <-> arrays; images are read by :mod:`gemini_det3d.formats.images`."""

from __future__ import annotations

import os

import numpy as np

from gemini_det3d.formats.clouds import COLUMNS_REMEDY, finite_points, parse_cloud
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.text import read_bytes


def read_points(
    path: str | os.PathLike, num_features: int = 4, remedy: str = COLUMNS_REMEDY
) -> np.ndarray:
    """Read a point cloud; see :func:`parse_cloud` for the containers.

    Args:
        path: The file.
        num_features: Values per point; KITTI has x, y, z (metres, LiDAR frame) and reflectance.
        remedy: As for :func:`parse_cloud`.

    Returns:
        ``(N, num_features)`` float32; a file of no bytes holds no points.

    Raises:
        FormatError: It cannot be read, is another kind of file, seems to have other columns, or
            a value is NaN or infinite.
    """
    return finite_points(parse_cloud(read_bytes(path), path, num_features, remedy), path)


def write_points(path: str | os.PathLike, points: np.ndarray) -> None:
    """Write a ``velodyne`` file.

    Args:
        path: File to write; its folder is made when there is none.
        points: ``(N, F)``; written as little-endian float32.
    """
    points = np.asarray(points)
    if points.ndim != 2:
        raise ValueError(f"points have shape {points.shape}, expected (N, features)")
    write_whole(path, np.ascontiguousarray(points, dtype="<f4").tobytes())

"""KITTI point clouds <-> arrays; images are read by :mod:`gemini_det3d.formats.images`."""

from __future__ import annotations

import os

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.text import read_bytes

_BYTES_PER_FLOAT = 4


def read_points(path: str | os.PathLike, num_features: int = 4) -> np.ndarray:
    """Read a ``velodyne`` file: little-endian float32, point after point.

    Args:
        path: The .bin file.
        num_features: Values per point; KITTI has x, y, z (metres, LiDAR frame) and reflectance.

    Returns:
        ``(N, num_features)`` float32; a file of no bytes holds no points.

    Raises:
        FormatError: It cannot be read, its size is no whole number of points, or a value is NaN
            or infinite.
    """
    points = parse_points(read_bytes(path), path, num_features)
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        fault = f"{int(bad.sum())} of {len(points)} points are NaN or infinite (first: {first})"
        raise FormatError(path, fault)
    return points


def parse_points(data: bytes, path: str | os.PathLike, num_features: int = 4) -> np.ndarray:
    """Bytes of a point file as an array, finite or not.

    Args:
        data: Content of the file.
        path: Its name, for the error.
        num_features: Values per point.

    Returns:
        ``(N, num_features)`` float32, writable.

    Raises:
        FormatError: The size is no whole number of points.
    """
    bytes_per_point = _BYTES_PER_FLOAT * num_features
    if len(data) % bytes_per_point:
        fault = (
            f"{len(data)} bytes are no whole number of points of {num_features} float32 "
            f"({bytes_per_point} bytes each)"
        )
        raise FormatError(path, fault)
    points = np.frombuffer(data, dtype="<f4").reshape(-1, num_features)
    return points.astype(np.float32)


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

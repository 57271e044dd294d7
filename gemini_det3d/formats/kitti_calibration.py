"""KITTI calibration files <-> matrices.

A file holds one matrix per line, ``NAME: values`` in row order. Three of them take a LiDAR point
to a pixel of the left colour camera (Geiger et al., "Vision meets Robotics", 2013, eq. 7):
``pixel ~ P2 . R0_rect . Tr_velo_to_cam . point``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.text import parse_numbers, read_lines, write_text
from gemini_det3d.geometry.matrices import as_4x4

_SHAPES = {"P2": (3, 4), "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4)}
# A rotation has a smallest singular value of 1 and KITTI's focal lengths are about 700 px; five
# orders below the largest one, inverting the matrix leaves nothing of a float32 coordinate.
_MAX_CONDITION = 1e5


@dataclass(frozen=True)
class Calibration:
    """The matrices of one frame that place LiDAR points in the left colour image.

    Attributes:
        p2: ``(3, 4)`` projection of rectified camera coordinates to pixels of image_2.
        r0_rect: ``(3, 3)`` rotation that rectifies the reference camera.
        tr_velo_to_cam: ``(3, 4)`` LiDAR coordinates to the unrectified reference camera, metres.
    """

    p2: np.ndarray
    r0_rect: np.ndarray
    tr_velo_to_cam: np.ndarray

    def __post_init__(self) -> None:
        """Hold float64 arrays of the right shapes."""
        for name, shape in (("p2", (3, 4)), ("r0_rect", (3, 3)), ("tr_velo_to_cam", (3, 4))):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != shape:
                raise ValueError(f"{name} has shape {value.shape}, expected {shape}")
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def lidar2cam(self) -> np.ndarray:
        """``(4, 4)`` LiDAR frame to rectified camera frame, ``R0_rect . Tr_velo_to_cam``."""
        return as_4x4(self.r0_rect) @ as_4x4(self.tr_velo_to_cam)

    @property
    def cam2img(self) -> np.ndarray:
        """``(4, 4)`` rectified camera frame to pixels of image_2, ``P2``."""
        return as_4x4(self.p2)

    @property
    def lidar2img(self) -> np.ndarray:
        """``(4, 4)`` LiDAR frame to pixels of image_2."""
        return self.cam2img @ self.lidar2cam


def read_calibration(path: str | os.PathLike) -> Calibration:
    """Read ``P2``, ``R0_rect`` and ``Tr_velo_to_cam``; other lines may hold anything.

    Args:
        path: KITTI calibration text file.

    Returns:
        The three matrices, float64.

    Raises:
        FormatError: A matrix is missing, given twice with other values, has the wrong number of
            values, values that are not finite numbers, or is singular.
    """
    found: dict[str, np.ndarray] = {}
    for number, line in read_lines(path):
        name, *words = line.replace(":", " ", 1).split() or [""]
        if name not in _SHAPES:
            continue
        matrix = _parse_matrix(path, name, words)
        if name in found and not np.array_equal(found[name], matrix):
            raise FormatError(path, f"line {number}: {name} is given twice, with other values")
        found[name] = matrix
    missing = [name for name in _SHAPES if name not in found]
    if missing:
        raise FormatError(path, f"has no {', '.join(missing)}")
    return Calibration(found["P2"], found["R0_rect"], found["Tr_velo_to_cam"])


def write_calibration(path: str | os.PathLike, calibration: Calibration) -> None:
    """Write a file with all of KITTI's lines, in KITTI's order.

    The other three cameras and the inertial sensor are not part of ``Calibration``: ``P0``,
    ``P1`` and ``P3`` repeat ``P2``, and ``Tr_imu_to_velo`` is the identity. Values keep all
    float64 digits, so reading gives back the same numbers.
    """
    rows = {f"P{camera}": calibration.p2 for camera in range(4)}
    rows["R0_rect"] = calibration.r0_rect
    rows["Tr_velo_to_cam"] = calibration.tr_velo_to_cam
    rows["Tr_imu_to_velo"] = np.eye(3, 4)
    lines = [
        f"{name}: " + " ".join(f"{value:.16e}" for value in matrix.reshape(-1))
        for name, matrix in rows.items()
    ]
    write_text(path, "\n".join(lines) + "\n")


def _parse_matrix(path: str | os.PathLike, name: str, words: list[str]) -> np.ndarray:
    shape = _SHAPES[name]
    count = shape[0] * shape[1]
    if len(words) != count:
        raise FormatError(path, f"{name} has {len(words)} values, expected {count}")
    matrix = parse_numbers(path, words, name).reshape(shape)
    singular_values = np.linalg.svd(matrix[:, :3], compute_uv=False)
    if singular_values[2] * _MAX_CONDITION <= singular_values[0]:
        raise FormatError(path, f"{name} is singular")
    return matrix

"""SUN RGB-D's calibration and point files <-> arrays.

Frames: camera (x right, y down, z forward), depth (x right, y front, z up, the camera at 0 and
upright: its tilt is taken out). Pixels count from 1 at their centres, as MATLAB's do.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass

import numpy as np

from gemini_det3d.formats.clouds import finite_points
from gemini_det3d.formats.errors import FormatError, first_line
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.kinds import seeming_kind
from gemini_det3d.formats.text import parse_numbers, read_bytes, read_lines, write_text

# Depth axes, still tilted, -> camera axes.
DEPTH_TO_CAMERA = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
# Pixels counted from 1, as SUN RGB-D's matrices have them, -> from 0.
FROM_ZERO = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])
_ROTATION_TOLERANCE = 1e-3
_MAT_KEY = "instance"
_MAT_TITLE = b"MATLAB 5.0 MAT-file".ljust(116)  # SciPy's own says when it was written
_NUM_FEATURES = 6


@dataclass(frozen=True)
class RoomCalibration:
    """How points of the depth frame fall into the image.

    Attributes:
        intrinsics: ``(3, 3)``, K.
        tilt: ``(3, 3)`` rotation of tilted depth axes into upright ones, SUN RGB-D's Rtilt.
    """

    intrinsics: np.ndarray
    tilt: np.ndarray

    @property
    def depth2img(self) -> np.ndarray:
        """``(3, 3)`` depth frame -> pixel (counted from 1) times depth."""
        return self.intrinsics @ DEPTH_TO_CAMERA @ self.tilt.T


def read_calibration(path: str | os.PathLike) -> RoomCalibration:
    """Read a calibration: a line of nine numbers for the tilt and one for K, column by column.

    Args:
        path: ``calib/<frame>.txt``.

    Raises:
        FormatError: It cannot be read, a line is missing or has other than nine finite numbers,
            the tilt is no rotation, or K cannot be inverted.
    """
    lines = read_lines(path)
    if len(lines) < 2:
        raise FormatError(path, f"has {len(lines)} lines, expected 2 (tilt, K)")
    matrices = []
    for name, (number, line) in zip(("tilt", "K"), lines):
        words = line.replace(",", " ").split()
        if len(words) != 9:
            raise FormatError(path, f"line {number}: {name} has {len(words)} values, expected 9")
        values = parse_numbers(path, words, f"line {number}")
        matrices.append(values.reshape(3, 3).T)  # written column by column
    return checked_calibration(path, *matrices)


def checked_calibration(
    path: str | os.PathLike, tilt: np.ndarray, intrinsics: np.ndarray
) -> RoomCalibration:
    """A calibration that can be one.

    Args:
        path: Where the matrices come from, for the error.
        tilt: ``(3, 3)``.
        intrinsics: ``(3, 3)``.

    Raises:
        FormatError: The tilt is no rotation, or K cannot be inverted.
    """
    off = np.abs(tilt @ tilt.T - np.eye(3)).max()
    if not off < _ROTATION_TOLERANCE:
        raise FormatError(path, f"the tilt is no rotation (off by {off:.3g})")
    if np.linalg.det(tilt) < 0:
        raise FormatError(path, "the tilt is no rotation (it mirrors, determinant -1)")
    if not (abs(np.linalg.det(intrinsics)) > 1e-9 and intrinsics[0, 0] > 0 < intrinsics[1, 1]):
        raise FormatError(path, f"K is no camera matrix (diagonal {np.diag(intrinsics)})")
    return RoomCalibration(intrinsics, tilt)


def write_calibration(path: str | os.PathLike, calibration: RoomCalibration) -> None:
    """Write a calibration with all digits of float64."""
    lines = (
        " ".join(f"{value:.16e}" for value in matrix.T.reshape(-1))
        for matrix in (calibration.tilt, calibration.intrinsics)
    )
    write_text(path, "\n".join(lines) + "\n")


def read_depth_points(path: str | os.PathLike) -> np.ndarray:
    """Read the points of a frame from MATLAB's file.

    Args:
        path: ``depth/<frame>.mat`` with the variable ``instance``.

    Returns:
        ``(N, 6)`` float32 x, y, z (metres, depth frame) and red, green, blue (0 to 1); finite.

    Raises:
        FormatError: It cannot be read, has other contents, no points, or values that are NaN or
            infinite.
    """
    content = load_mat(path)
    if _MAT_KEY not in content:
        names = ", ".join(sorted(name for name in content if not name.startswith("__")))
        raise FormatError(path, f"has no variable {_MAT_KEY!r} (it has: {names or 'none'})")
    points = content[_MAT_KEY]
    if points.ndim != 2 or points.shape[1] != _NUM_FEATURES or points.dtype.kind not in "fiu":
        shape = f"{points.dtype} {points.shape}"
        raise FormatError(path, f"{_MAT_KEY!r} is {shape}, expected numbers (N, {_NUM_FEATURES})")
    return checked_points(points.astype(np.float32), path)


def checked_points(points: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """The same points, if there are any and all are finite.

    Args:
        points: ``(N, F)``.
        path: Where they come from, for the error.

    Raises:
        FormatError: They are not.
    """
    if not len(points):
        raise FormatError(path, "holds no points")
    return finite_points(points, path)


def write_depth_points(path: str | os.PathLike, points: np.ndarray) -> None:
    """Write the points of a frame as the MATLAB extraction does: the same bytes every time.

    Args:
        path: File to write; its folder is made when there is none.
        points: ``(N, 6)``.
    """
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {_MAT_KEY: np.asarray(points, dtype=np.float32)}, do_compression=True)
    write_whole(path, _MAT_TITLE + buffer.getvalue()[len(_MAT_TITLE) :])


def load_mat(path: str | os.PathLike) -> dict:
    """Variables of a MATLAB file, structs as objects with attributes; nothing in it is run.

    Args:
        path: A file of version 4, 5 or 7; 7.3 (HDF5) is another format.

    Raises:
        FormatError: It cannot be read.
    """
    from scipy.io import loadmat

    data = read_bytes(path)
    try:
        return loadmat(io.BytesIO(data), squeeze_me=False, struct_as_record=False)
    except NotImplementedError:
        fault = "is a MATLAB 7.3 file (HDF5); save it again in MATLAB with -v7"
        raise FormatError(path, fault) from None
    except Exception as error:  # scipy raises whatever broken bytes lead it to
        reason = seeming_kind(data, "MATLAB") or first_line(error)
        fault = f"is not a readable MATLAB file ({reason})"
        raise FormatError(path, fault) from error

"""KITTI point clouds and images <-> arrays."""

from __future__ import annotations

import io
import os

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.text import read_bytes

_BYTES_PER_FLOAT = 4
# Cameras append notes behind the end mark; so far back it is looked for.
_TAIL_BYTES = 4096


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


def read_image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Size of an image, from its header alone.

    Args:
        path: Image file.

    Returns:
        ``(width, height)`` in pixels.

    Raises:
        FormatError: It is missing or no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except FileNotFoundError:
        raise FormatError(path, "no such file") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise FormatError(path, f"is not a readable image ({_reason(error, path)})") from error


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image, to its last pixel.

    Args:
        path: Image file of any kind that PIL reads.

    Returns:
        ``(H, W, 3)`` uint8, RGB; grey is repeated, transparency dropped.

    Raises:
        FormatError: It is missing, no image, or cut off.
    """
    return decode_image(read_bytes(path), path)


def check_image_bytes(data: bytes, path: str | os.PathLike) -> None:
    """Refuse a PNG or JPEG file that ends before its end mark.

    Some decoders fill what is missing with grey and say nothing.

    Args:
        data: Content of the file.
        path: Its name, for the error.

    Raises:
        FormatError: The file is empty or cut off.
    """
    if not data:
        raise FormatError(path, "is not a readable image (0 bytes)")
    for start, end in ((b"\x89PNG", b"IEND"), (b"\xff\xd8", b"\xff\xd9")):
        if data.startswith(start) and end not in data[-_TAIL_BYTES:]:
            fault = f"is not a readable image (cut off after {len(data)} bytes)"
            raise FormatError(path, fault)


def decode_image(data: bytes, path: str | os.PathLike) -> np.ndarray:
    """Bytes of an image file as an array; see :func:`read_image`.

    Args:
        data: Content of the file.
        path: Its name, for the error.

    Returns:
        ``(H, W, 3)`` uint8, RGB.

    Raises:
        FormatError: It is no image, or cut off.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise FormatError(path, f"is not a readable image ({_reason(error, path)})") from error


def _reason(error: Exception, path: str | os.PathLike) -> str:
    """What PIL said, without the address of a buffer or a second copy of the path."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "unknown format"
    return str(error).replace(os.fspath(path), "").strip() or type(error).__name__

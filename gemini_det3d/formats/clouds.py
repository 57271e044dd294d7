"""Point clouds of any common container -> ``(N, F)`` float32; what a file is, its content tells.

A ``.bin`` says nothing of itself: it is float32, point after point, with as many columns as one
knows. Neighbours in a scan are close, so values one point apart differ less than values of other
columns; that tells the number of columns, and refuses a file that is read with another.
"""

from __future__ import annotations

import codecs
import io
import os
import string

import numpy as np

from gemini_det3d.formats.errors import FormatError, first_line
from gemini_det3d.formats.kinds import KINDS, seeming_kind
from gemini_det3d.formats.pcd import parse_pcd

SUFFIXES = (".bin", ".npy", ".pcd", ".las", ".laz")
"""Of point clouds, in lower case."""

_BYTES_PER_FLOAT = 4
_COLUMNS = range(3, 13)
# Enough neighbours to tell columns by; fewer points are taken as they are.
_FEW_POINTS, _MANY_VALUES = 64, 6000
# Of KITTI's, nuScenes' and SUN RGB-D's clouds the right number of columns differs by 2 and more.
_CLEARLY = 2.0
_PLAUSIBLE = (1e-9, 1e9)
_DTYPES = {"float64": "<f8", "big-endian float32": ">f4", "float16": "<f2", "int16": "<i2",
           "int32": "<i4"}  # fmt: skip
COLUMNS_REMEDY = "pass --point-columns {} (load_dim in a config)"
_KNOWN = {4: "KITTI's clouds have 4", 5: "nuScenes' sweeps have 5", 6: "SUN RGB-D's have 6"}
_OTHERS = {
    **KINDS,
    b"ply": "a .ply file",
    b"PK\x03\x04": "a .zip or .npz archive; unpack it first",
    b"\x80\x02": "a pickle",
    b"\x80\x04": "a pickle",
}
_SURE = 4  # bytes of a mark that a number will not be spelt like by chance
_HUGE = 1e6
# No cloud has so few points of so many values.
_FEW_ROWS, _MANY_COLUMNS = 16, 64
_PRINTED, _START = frozenset(string.printable.encode()), 64


def parse_cloud(
    data: bytes, path: str | os.PathLike, num_features: int = 4, remedy: str = COLUMNS_REMEDY
) -> np.ndarray:
    """Bytes of a point file as an array, finite or not.

    Args:
        data: Content of a .bin, .npy, .pcd, .las or .laz file, whatever its name.
        path: Its name, for the error.
        num_features: Columns of a .bin; of other containers the first so many: x, y, z, then the
            intensity, then what else there is, in the file's order.
        remedy: What to do where a .bin seems to have other columns; ``{}`` is their number.

    Returns:
        ``(N, num_features)`` float32, writable.

    Raises:
        FormatError: It is another kind of file, has fewer columns, or, as .bin, seems to have
            others.
    """
    text = data.removeprefix(codecs.BOM_UTF8).lstrip()
    if data.startswith(b"\x93NUMPY"):
        points = _parse_npy(data, path)
    elif text.startswith((b"# .PCD", b"VERSION")):
        points = parse_pcd(text, path, num_features)
    elif data.startswith(b"LASF"):
        points = _parse_las(data, path)
    else:
        return _parse_bin(data, path, num_features, remedy)
    return first_columns(points, num_features, path)


def first_columns(points: np.ndarray, count: int, path: str | os.PathLike) -> np.ndarray:
    """The columns that are wanted of a cloud that may have more.

    Args:
        points: ``(N, F)`` numbers.
        count: How many.
        path: Where they come from, for the error.

    Returns:
        ``(N, count)`` float32, a copy.

    Raises:
        FormatError: There are fewer, it is no table of numbers, or points are its columns.
    """
    if points.ndim != 2 or points.dtype.kind not in "fiu":
        raise FormatError(path, f"is a {points.dtype} array of {points.shape}, expected numbers "
                                f"(N, {count} or more)")  # fmt: skip
    if len(points) < _FEW_ROWS and points.shape[1] >= _MANY_COLUMNS:
        raise FormatError(path, f"is an array of {points.shape}: points are rows; transpose it")
    if points.shape[1] < count:
        raise FormatError(path, f"has {points.shape[1]} columns, needs {count} "
                                "(x, y, z and the intensity first)")  # fmt: skip
    with np.errstate(over="ignore"):
        return np.array(points[:, :count], dtype=np.float32)


def finite_points(points: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """The same points ``(N, F)``, if every value is finite.

    Raises:
        FormatError: Some are not; it says how many and which is the first.
    """
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        fault = f"{int(bad.sum())} of {len(points)} points are NaN or infinite (first: {first})"
        raise FormatError(path, fault)
    return points


def seeming_columns(values: np.ndarray) -> dict[int, float]:
    """How far values that so many places apart lie from each other, in the middle.

    Args:
        values: Of a cloud, one after the other.

    Returns:
        Number of columns -> median difference, for those that divide the number of values.
    """
    whole = [count for count in _COLUMNS if len(values) % count == 0]
    values = values[:_MANY_VALUES].astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return {n: float(np.median(np.abs(values[n:] - values[:-n]))) for n in whole}


def _is_certain(start: bytes, data: bytes) -> bool:
    """A long mark, or a pickle, which has a mark at its end, too."""
    return len(start) >= _SURE or start[:1] == b"\x80" and data.endswith(b".")


def _is_like_points(data: bytes, each: int) -> bool:
    """Whole points, most of whose numbers could be metres or shares; text reads as huge ones."""
    if len(data) % each:
        return False
    values = np.frombuffer(data, dtype="<f4")
    values = np.abs(values[np.isfinite(values)])
    return not len(values) or float(np.median(values)) < _HUGE


def _parse_bin(data: bytes, path: str | os.PathLike, num_features: int, remedy: str) -> np.ndarray:
    each = _BYTES_PER_FLOAT * num_features
    start = next((start for start in _OTHERS if data.startswith(start)), None)
    kind = seeming_kind(data) if start is None else _OTHERS[start]
    # The first coordinate of a good cloud may be spelt like a short mark.
    is_certain = kind and (start is None or _is_certain(start, data))
    if is_certain or kind and not _is_like_points(data, each):
        raise FormatError(path, f"is {kind}; clouds are {', '.join(SUFFIXES)}")
    if len(data) >= _START and all(byte in _PRINTED for byte in data[:_START]):
        raise FormatError(path, f"is text; clouds are {', '.join(SUFFIXES)}")
    if len(data) % each:
        fault = (
            f"{len(data)} bytes are no whole number of points of {num_features} float32 "
            f"({each} bytes each)"
        )
        raise FormatError(path, fault + _guess(data, num_features, remedy))
    values = np.frombuffer(data, dtype="<f4")
    guess = _guess(data, num_features, remedy) if len(values) >= _FEW_POINTS * num_features else ""
    if guess:
        guess = f": {kind}?" if kind else guess
        raise FormatError(path, f"{len(data)} bytes are not {num_features} float32 a point{guess}")
    return values.reshape(-1, num_features).astype(np.float32)


def _guess(data: bytes, num_features: int, remedy: str) -> str:
    """What a .bin seems to be instead; nothing where it may well be what was asked for."""
    if len(data) % _BYTES_PER_FLOAT == 0:
        values = np.frombuffer(data, dtype="<f4")
        if _share_plausible(values) > 0.9:  # some may be NaN or not be set
            return _guess_columns(values, num_features, remedy)
    for name, dtype in _DTYPES.items():
        if len(data) % np.dtype(dtype).itemsize == 0:
            if _share_plausible(np.frombuffer(data, dtype=dtype)) > 0.999:
                return f": {name} values? clouds are little-endian float32"
    return ""


def _guess_columns(values: np.ndarray, num_features: int, remedy: str) -> str:
    if len(values) < _FEW_POINTS * num_features:
        return ""
    found = seeming_columns(values)
    if not found:
        return ""
    best = min(found, key=lambda n: found[n])
    asked = found.get(num_features)
    if best == num_features or (asked is not None and asked <= _CLEARLY * found[best]):
        return ""
    known = f" {_KNOWN[best]};" if best in _KNOWN else ""
    return f": {best} float32 columns?{known} {remedy.format(best)}"


def _share_plausible(values: np.ndarray) -> float:
    """Share of values that a cloud may hold: zero, or of a size that lengths have."""
    if not len(values):
        return 0.0
    with np.errstate(all="ignore"):
        size = np.abs(values[:_MANY_VALUES].astype(np.float64))
        low, high = _PLAUSIBLE
        return float(((size == 0) | ((size > low) & (size < high))).mean())


def _parse_npy(data: bytes, path: str | os.PathLike) -> np.ndarray:
    """An array, from its header and no more bytes than there are; nothing is unpickled."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0}[version]  # fmt: skip
        shape, is_fortran, dtype = read(stream)
        if dtype.names:
            fault = f"has named columns ({', '.join(dtype.names)}); save a plain (N, F) array"
            raise FormatError(path, fault)
        if dtype.hasobject:
            raise FormatError(path, "holds objects, not numbers")
        flat = np.frombuffer(data, dtype=dtype, offset=stream.tell())
        return flat.reshape(shape, order="F" if is_fortran else "C")
    except FormatError:
        raise
    except Exception as error:  # a broken header leads numpy to any of them
        raise FormatError(path, f"is no readable .npy file ({first_line(error)})") from None


def _parse_las(data: bytes, path: str | os.PathLike) -> np.ndarray:
    try:
        import laspy
    except ImportError:
        raise FormatError(path, "is a .las file, which needs the package laspy[lazrs]") from None
    try:
        las = laspy.read(io.BytesIO(data))
        return np.column_stack([getattr(las, name) for name in ("x", "y", "z", "intensity")])
    except Exception as error:  # the library raises errors of its own for each fault
        raise FormatError(path, f"is no readable .las file ({first_line(error)})") from error

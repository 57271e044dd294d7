"""Clouds of the Point Cloud Library (``.pcd``, version 0.7): ascii, binary, binary_compressed."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from gemini_det3d.formats.errors import FormatError

_INTENSITIES = ("intensity", "intensities", "reflectance", "reflectivity", "remission", "i")
# Fields that are often the fourth, and that no detector means by it.
_NO_INTENSITIES = ("rgb", "rgba", "ring", "line", "tag", "label", "object", "t", "time",
                   "timestamp", "offset_time", "normal_x", "curvature")  # fmt: skip
_TYPES = {"F": "f", "I": "i", "U": "u"}
_SIZES = {"f": (4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}
_LONGEST_HEADER = 4096
_MOST_COLUMNS = 256


class _Header(NamedTuple):
    names: tuple[str, ...]
    dtypes: tuple[np.dtype, ...]
    num_points: int
    kind: str
    end: int

    @property
    def bytes_per_point(self) -> int:
        return sum(dtype.itemsize for dtype in self.dtypes)


def parse_pcd(data: bytes, path: str | os.PathLike, num_features: int = 3) -> np.ndarray:
    """A cloud's columns: x, y, z, the intensity, then the others in the file's order.

    Args:
        data: Content of the file.
        path: Its name, for the error.
        num_features: Columns that are wanted; the fourth is the intensity.

    Returns:
        ``(N, F)`` float64.

    Raises:
        FormatError: It has no x, y, z, or another thing in the place of the intensity, is cut off,
            or its header does not hold.
    """
    header = _read_header(data, path)
    order = _order(header.names, path, num_features)
    body = data[header.end :]
    if header.kind == "ascii":
        columns = _read_ascii(body, header, path)
    elif header.kind == "binary":
        record = np.dtype({"names": [str(i) for i in range(len(header.dtypes))],
                           "formats": list(header.dtypes)})  # fmt: skip
        _require(body, header.num_points * header.bytes_per_point, path)
        points = np.frombuffer(body, dtype=record, count=header.num_points)
        columns = [points[name].astype(np.float64) for name in record.names or ()]
    else:
        columns = _read_compressed(body, header, path)
    return np.column_stack([columns[place] for place in order])


def _read_header(data: bytes, path: str | os.PathLike) -> _Header:
    lines: dict[str, list[str]] = {}
    end = 0
    while "DATA" not in lines:
        stop = data.find(b"\n", end, _LONGEST_HEADER)
        if stop < 0:
            raise FormatError(path, "is a .pcd file whose header has no line DATA")
        words = data[end:stop].decode("ascii", "replace").split()
        end = stop + 1
        if words and not words[0].startswith("#"):
            lines[words[0].upper()] = words[1:]
    try:
        names = lines["FIELDS"]
        counts = [int(word) for word in lines.get("COUNT", ["1"] * len(names))]
        sizes = [int(word) for word in lines["SIZE"]]
        kinds = [_TYPES[word.upper()] for word in lines["TYPE"]]
        points = int((lines.get("POINTS") or [0])[0]) or (
            int(lines["WIDTH"][0]) * int(lines["HEIGHT"][0])
        )
        kind = lines["DATA"][0].lower()
    except (KeyError, ValueError, IndexError) as error:
        raise FormatError(path, f"is a .pcd file with a broken header ({error})") from None
    is_sound = (
        0 < len(names) == len(sizes) == len(kinds) == len(counts)
        and all(size in _SIZES[k] for size, k in zip(sizes, kinds))
        and all(count > 0 for count in counts)
        and sum(counts) <= _MOST_COLUMNS
        and points >= 0
        and kind in ("ascii", "binary", "binary_compressed")
    )
    if not is_sound:
        raise FormatError(path, "is a .pcd file whose header does not hold (FIELDS, SIZE, TYPE, "
                                "COUNT, POINTS, DATA)")  # fmt: skip
    each = [(n, np.dtype(f"<{k}{s}")) for n, k, s, c in zip(names, kinds, sizes, counts)
            for _ in range(c)]  # fmt: skip
    return _Header(tuple(n for n, _ in each), tuple(d for _, d in each), points, kind, end)


def _order(names: tuple[str, ...], path: str | os.PathLike, num_features: int) -> list[int]:
    lower = [name.lower() for name in names]
    missing = [axis for axis in "xyz" if axis not in lower]
    if missing:
        raise FormatError(path, f"has no {', '.join(missing)}, but {', '.join(names)}")
    first = [lower.index(axis) for axis in "xyz"]
    first += [lower.index(name) for name in _INTENSITIES if name in lower][:1]
    order = first + [place for place in range(len(names)) if place not in first]
    fourth = [names[place] for place in order[3:4] if lower[place] in _NO_INTENSITIES]
    if num_features > 3 and fourth:
        fault = f"has no {_INTENSITIES[0]}, but {', '.join(names)}: {fourth[0]} is none"
        raise FormatError(path, fault)
    return order


def _read_ascii(body: bytes, header: _Header, path: str | os.PathLike) -> list[np.ndarray]:
    words = body.split()
    width = len(header.names)
    if len(words) != header.num_points * width:
        raise FormatError(path, f"{len(words)} values, the header has {header.num_points} points "
                                f"of {width}")  # fmt: skip
    try:
        table = np.array(words, dtype=np.float64).reshape(-1, width)
    except ValueError as error:
        raise FormatError(path, f"holds something else than numbers ({error})") from None
    return list(table.T)


def _read_compressed(body: bytes, header: _Header, path: str | os.PathLike) -> list[np.ndarray]:
    """Field after field, not point after point, compressed by LZF."""
    wanted = header.num_points * header.bytes_per_point
    _require(body, 8, path)
    compressed, size = (int(n) for n in np.frombuffer(body, dtype="<u4", count=2))
    if size != wanted:
        raise FormatError(path, f"holds {size} bytes, the header's points have {wanted}")
    _require(body, 8 + compressed, path)
    plain = _decompress(body[8 : 8 + compressed], size, path)
    columns, start = [], 0
    for dtype in header.dtypes:
        stop = start + dtype.itemsize * header.num_points
        columns.append(np.frombuffer(plain[start:stop], dtype=dtype).astype(np.float64))
        start = stop
    return columns


def _decompress(data: bytes, size: int, path: str | os.PathLike) -> bytes:
    """Marc Lehmann's LZF: literals, and copies of what was written before."""
    out = bytearray()
    at = 0
    try:
        while at < len(data) and len(out) < size:
            control = data[at]
            at += 1
            if control < 32:
                out += data[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[at]
                at += 1
            start = len(out) - ((control & 31) << 8) - data[at] - 1
            at += 1
            if start < 0:
                raise IndexError
            for place in range(start, start + length + 2):  # a copy may read what it writes
                out.append(out[place])
    except IndexError:
        raise FormatError(path, "holds compressed points that are damaged") from None
    if len(out) != size:
        raise FormatError(path, f"is cut off: {len(out)} of {size} bytes")
    return bytes(out)


def _require(body: bytes, size: int, path: str | os.PathLike) -> None:
    if len(body) < size:
        raise FormatError(path, f"is cut off: {len(body)} of {size} bytes of points")

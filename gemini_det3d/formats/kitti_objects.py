"""KITTI object files (``label_2`` and results) <-> arrays.

One object per line: type, truncated, occluded, alpha, left, top, right, bottom, height, width,
length, x, y, z, rotation_y, and in results a score. The location is the centre of the box's
bottom in the rectified camera frame (x right, y down, z forward).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.text import parse_numbers, read_lines, write_text

NO_ANGLE = -10.0
"""What files write for an angle that is not known, as in DontCare regions."""
DONT_CARE = "DontCare"
"""The class of regions where nothing is labelled."""
_TRUTH_COLUMNS = 15
_MOST_OCCLUDED = 1000  # 3 in KITTI
_RESULT_COLUMNS = 16
_WANTED = {
    None: f"{_TRUTH_COLUMNS} or {_RESULT_COLUMNS}",
    _TRUTH_COLUMNS: f"{_TRUTH_COLUMNS} (labels have no score)",
    _RESULT_COLUMNS: f"{_RESULT_COLUMNS} (results end with a score)",
}
# Result files get six decimals: a hundred times finer than a score needs to keep its rank.
_DECIMALS = 6


@dataclass
class Objects:
    """N objects of one frame, in file order; rectified camera frame.

    Attributes:
        name: ``(N,)`` class names.
        truncated: ``(N,)`` share outside the image, 0 to 1; -1 where unknown.
        occluded: ``(N,)`` 0 visible, 1 partly, 2 largely occluded, 3 unknown, -1 not given.
        alpha: ``(N,)`` observation angle, radians, ``rotation_y - atan2(x, z)``.
        bbox: ``(N, 4)`` x1, y1, x2, y2 in pixels.
        dimensions: ``(N, 3)`` height, width, length in metres (file order).
        location: ``(N, 3)`` bottom centre in metres.
        rotation_y: ``(N,)`` radians around the camera's downward y axis; 0 faces along +x.
        score: ``(N,)``, or None in ground truth.
    """

    name: np.ndarray
    truncated: np.ndarray
    occluded: np.ndarray
    alpha: np.ndarray
    bbox: np.ndarray
    dimensions: np.ndarray
    location: np.ndarray
    rotation_y: np.ndarray
    score: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Hold float64 (names: str, occluded: int64) and refuse lengths that disagree."""
        self.name = np.asarray(self.name, dtype=np.str_).reshape(-1)
        self.occluded = np.asarray(self.occluded, dtype=np.int64)
        widths = {"bbox": (4,), "dimensions": (3,), "location": (3,)}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.name not in ("name", "occluded"):
                value = np.asarray(value, dtype=np.float64)
                setattr(self, field.name, value)
            expected = (len(self.name), *widths.get(field.name, ()))
            if value.shape != expected:
                raise ValueError(f"{field.name} has shape {value.shape}, expected {expected}")

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.name)

    @classmethod
    def empty(cls, with_score: bool = False) -> Objects:
        """No objects.

        Args:
            with_score: Whether ``score`` is an empty array rather than None.
        """
        return cls._from_columns([], np.empty((0, _RESULT_COLUMNS - 1)), with_score)

    def select(self, index: np.ndarray) -> Objects:
        """The objects at ``index``.

        Args:
            index: Boolean mask ``(N,)`` or indices ``(M,)``.

        Returns:
            New Objects; nothing is shared with this one.
        """
        index = np.asarray(index)
        if index.size == 0:
            index = index.astype(np.int64)
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(
            self, **{k: None if v is None else v[index].copy() for k, v in values.items()}
        )

    @classmethod
    def _from_columns(cls, names: list[str], numbers: np.ndarray, with_score: bool) -> Objects:
        """Split ``(N, 14 or 15)`` numbers, the columns after the name."""
        return cls(
            name=np.array(names, dtype=np.str_),
            truncated=numbers[:, 0],
            occluded=numbers[:, 1].astype(np.int64),
            alpha=numbers[:, 2],
            bbox=numbers[:, 3:7],
            dimensions=numbers[:, 7:10],
            location=numbers[:, 10:13],
            rotation_y=numbers[:, 13],
            score=numbers[:, 14] if with_score else None,
        )


def read_objects(path: str | os.PathLike, with_score: bool | None = None) -> Objects:
    """Read a label or result file; an empty file holds no objects.

    Args:
        path: KITTI object file.
        with_score: True wants results (16 columns), False ground truth (15), None takes either
            and decides by the first line.

    Returns:
        The objects in file order; ``score`` is None where there is no such column. An empty file
        read with None counts as ground truth.

    Raises:
        FormatError: It cannot be read, a line has the wrong number of columns, a value is not a
            finite number, or ``occluded`` is not a small whole number.
    """
    expected = {None: None, True: _RESULT_COLUMNS, False: _TRUTH_COLUMNS}[with_score]
    names: list[str] = []
    rows: list[np.ndarray] = []
    for number, line in read_lines(path):
        words = line.split()
        if expected is None and len(words) in (_TRUTH_COLUMNS, _RESULT_COLUMNS):
            expected = len(words)
        if len(words) != expected:
            wanted = _WANTED[expected]
            raise FormatError(path, f"line {number}: {len(words)} columns, expected {wanted}")
        row = parse_numbers(path, words[1:], f"line {number}")
        if row[1] != round(row[1]):
            raise FormatError(path, f"line {number}: occluded {words[2]!r} is no whole number")
        if abs(row[1]) > _MOST_OCCLUDED:
            fault = f"occluded {words[2]!r} is too large (KITTI's go from -1 to 3)"
            raise FormatError(path, f"line {number}: {fault}")
        names.append(words[0])
        rows.append(row)
    if not rows:
        return Objects.empty(with_score=bool(with_score))
    return Objects._from_columns(names, np.stack(rows), expected == _RESULT_COLUMNS)


def write_objects(path: str | os.PathLike, objects: Objects) -> None:
    """Write a label file, or a result file when there are scores.

    Args:
        path: File to write; its folder is made when there is none.
        objects: What to write. No objects give an empty file, as KITTI's tools expect.

    Raises:
        ValueError: A class name is empty or holds white space.
    """
    numbers = np.column_stack([objects.alpha, objects.bbox, objects.dimensions, objects.location,
                               objects.rotation_y])  # fmt: skip
    if objects.score is not None:
        numbers = np.column_stack([numbers, objects.score])
    lines = []
    for index, name in enumerate(objects.name):
        if len(name.split()) != 1:
            raise ValueError(f"class name {str(name)!r} does not fit into a KITTI line")
        words = [str(name), _short(objects.truncated[index]), str(int(objects.occluded[index]))]
        lines.append(" ".join(words + [_short(value) for value in numbers[index]]))
    write_text(path, "".join(line + "\n" for line in lines))


def _short(value: float) -> str:
    text = f"{value:.{_DECIMALS}f}".rstrip("0")
    text = text + "00" if text.endswith(".") else text
    return "0.00" if text == "-0.00" else text

"""Objects of rooms and their text files: SUN RGB-D's labels, and results of detectors.

A label line, as the MATLAB extraction that mmdet3d documents writes it: class; left, top, width,
height of the 2D box (pixels); centre x, y, z (metres); half of the extents along y, x and z before
the turn; x and y of the direction that the object faces. A result line: class, centre x, y, z,
extents along x, y, z, yaw, score.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.text import parse_numbers, read_lines, write_text

# The classes of the published detectors, in mmdet3d's order.
SUNRGBD_CLASSES = (
    "bed",
    "table",
    "sofa",
    "chair",
    "toilet",
    "desk",
    "dresser",
    "night_stand",
    "bookshelf",
    "bathtub",
)
_LABEL_COLUMNS, _RESULT_COLUMNS = 13, 9


@dataclass(frozen=True)
class RoomObjects:
    """N boxes of one frame, truth or detections.

    Attributes:
        names: ``(N,)`` class names.
        boxes: ``(N, 7)`` x, y, z of the centre, extents along x, y, z before the turn (metres),
            yaw (radians, from +x towards +y), in mmdet3d's depth frame (x right, y front, z up).
        scores: ``(N,)`` in [0, 1]; None for truth.
        bbox: ``(N, 4)`` left, top, right, bottom in pixels; None where nobody asked.
    """

    names: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray | None = None
    bbox: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Hold arrays of the right kind and refuse lengths that disagree."""
        object.__setattr__(self, "names", np.asarray(self.names, dtype=np.str_).reshape(-1))
        count = len(self.names)
        for name, width in (("boxes", 7), ("scores", None), ("bbox", 4)):
            value = getattr(self, name)
            if value is None:
                continue
            shape = (count,) if width is None else (count, width)
            value = np.asarray(value, dtype=np.float64)
            value = value.reshape(shape) if value.size == 0 and count == 0 else value
            if value.shape != shape:
                raise ValueError(f"{name} has shape {value.shape}, expected {shape}")
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.names)

    def select(self, index: np.ndarray) -> RoomObjects:
        """Some of the objects."""
        return RoomObjects(
            self.names[index],
            self.boxes[index],
            None if self.scores is None else self.scores[index],
            None if self.bbox is None else self.bbox[index],
        )

    @property
    def bottom_boxes(self) -> np.ndarray:
        """``(N, 7)`` with z at the bottom, as mmdet3d's box classes hold them."""
        lowered = self.boxes.copy()
        lowered[:, 2] -= 0.5 * lowered[:, 5]
        return lowered


def read_labels(path: str | os.PathLike) -> RoomObjects:
    """Read a label file; an empty file is a room without objects.

    Args:
        path: ``label/<frame>.txt``.

    Returns:
        The objects in file order, with ``bbox``.

    Raises:
        FormatError: It cannot be read, a line has the wrong number of columns, a value is not a
            finite number, an extent is zero, or an object faces nowhere.
    """
    names, rows = _read_rows(path, _LABEL_COLUMNS)
    halves, facing = rows[:, 7:10], rows[:, 10:12]
    for fault, bad in (
        ("an extent is zero", (halves == 0).any(axis=1)),
        ("its orientation is (0, 0)", (facing == 0).all(axis=1)),
    ):
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise FormatError(path, f"object {first + 1} ({names[first]}): {fault}")
    yaw = np.arctan2(facing[:, 1], facing[:, 0])
    sizes = 2 * np.abs(halves[:, [1, 0, 2]])
    corners = np.column_stack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
    return RoomObjects(names, np.column_stack([rows[:, 4:7], sizes, yaw]), bbox=corners)


def write_labels(path: str | os.PathLike, objects: RoomObjects) -> None:
    """Write a label file."""
    if objects.bbox is None:
        raise ValueError("labels hold 2D boxes, and these objects have none")
    boxes, bbox = objects.boxes, objects.bbox
    numbers = np.column_stack(
        [
            *(bbox[:, :2], bbox[:, 2:] - bbox[:, :2]),
            *(boxes[:, :3], boxes[:, [4, 3, 5]] / 2),
            *(np.cos(boxes[:, 6]), np.sin(boxes[:, 6])),
        ]
    )
    _write_rows(path, objects.names, numbers)


def read_results(path: str | os.PathLike) -> RoomObjects:
    """Read a result file; an empty file is a frame without detections.

    Args:
        path: ``<frame>.txt``.

    Raises:
        FormatError: As :func:`read_labels`; extents may be anything that is finite.
    """
    names, rows = _read_rows(path, _RESULT_COLUMNS)
    return RoomObjects(names, rows[:, :7], scores=rows[:, 7])


def write_results(path: str | os.PathLike, objects: RoomObjects) -> None:
    """Write a result file.

    Args:
        path: File to write; its folder is made when there is none.
        objects: Detections; truth is written with a score of 1.
    """
    scores = np.ones(len(objects)) if objects.scores is None else objects.scores
    _write_rows(path, objects.names, np.column_stack([objects.boxes, scores]))


def _read_rows(path: str | os.PathLike, columns: int) -> tuple[np.ndarray, np.ndarray]:
    names, rows = [], []
    for number, line in read_lines(path):
        words = line.split()
        if len(words) != columns:
            raise FormatError(path, f"line {number}: {len(words)} columns, expected {columns}")
        names.append(words[0])
        rows.append(parse_numbers(path, words[1:], f"line {number}"))
    return np.array(names, dtype=np.str_), np.array(rows).reshape(-1, columns - 1)


def _write_rows(path: str | os.PathLike, names: np.ndarray, numbers: np.ndarray) -> None:
    lines = []
    for name, row in zip(names, numbers):
        if len(str(name).split()) != 1:
            raise ValueError(f"class name {str(name)!r} does not fit into a line")
        lines.append(" ".join([str(name), *(f"{value:.6f}" for value in row)]) + "\n")
    write_text(path, "".join(lines))

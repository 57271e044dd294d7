"""KITTI text files as mmdet3d's converter reads them.

It takes calibration lines by their position and every value by single spaces, and expects
``DontCare`` regions behind the objects. Files that say the same otherwise are rewritten, digit
for digit, before it sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gemini_det3d.formats.kitti_objects import DONT_CARE
from gemini_det3d.formats.text import read_bytes, read_lines

_COUNTS = {
    "P0": 12,
    "P1": 12,
    "P2": 12,
    "P3": 12,
    "R0_rect": 9,
    "Tr_velo_to_cam": 12,
    "Tr_imu_to_velo": 12,
}
_IDENTITY = "1 0 0 0 0 1 0 0 0 0 1 0"


def canonical_calibration(path: Path) -> str | None:
    """A calibration file in KITTI's own order and spacing.

    Args:
        path: A file that ``read_calibration`` accepts.

    Returns:
        The new text, or None where the file is canonical already. Cameras that it lacks repeat
        ``P2``; a missing or malformed inertial sensor becomes the identity.
    """
    values = {}
    for _, line in read_lines(path):
        name, *words = line.replace(":", " ", 1).split() or [""]
        if len(words) == _COUNTS.get(name):
            values[name] = " ".join(words)
    for camera in ("P0", "P1", "P3"):
        values.setdefault(camera, values["P2"])
    values.setdefault("Tr_imu_to_velo", _IDENTITY)
    text = "".join(f"{name}: {values[name]}\n" for name in _COUNTS)
    return None if _as_the_converter_sees_it(path).rstrip() == text.rstrip() else text


def canonical_labels(path: Path, class_map: Mapping[str, str]) -> str | None:
    """A label file with mapped names, single spaces and ``DontCare`` at the end.

    An object that is mapped to ``DontCare`` is its place in the image from then on.

    Args:
        path: A file that ``read_objects`` accepts.
        class_map: Class names to replace -> replacements.

    Returns:
        The new text, or None where the file is canonical already.
    """
    rows = []
    for _, line in read_lines(path):
        words = line.split()
        words[2] = str(int(float(words[2])))
        name = class_map.get(words[0], words[0])
        if name == DONT_CARE != words[0]:  # a region of the image, as KITTI writes them
            words[1:] = ["-1", "-1", "-10", *words[4:8], *["-1"] * 3, *["-1000"] * 3, "-10"]
        words[0] = name
        rows.append(words)
    rows.sort(key=lambda words: words[0] == DONT_CARE)
    text = "".join(" ".join(words) + "\n" for words in rows)
    original = _as_the_converter_sees_it(path)
    return None if original in (text, text[:-1]) else text


def _as_the_converter_sees_it(path: Path) -> str:
    """The text with its byte-order mark, which is no part of a name there as it is for us."""
    return read_bytes(path).decode("utf-8").replace("\r\n", "\n")

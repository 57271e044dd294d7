"""Images, label maps and lists of the RGB-X segmentation sets, as they are published.

NYUDv2: lines of three paths (RGB, labels, depth) in `train.txt` and `val.txt`. SUN RGB-D: the
folders `RGB`, `labels`, `Depth` and lists of RGB paths. DeLiVER: folders by modality, weather,
split and map, no lists.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.images import decode_labels, decode_sensor
from gemini_det3d.formats.stems import IMAGE_SUFFIXES, find_file, is_data_file, stem_of
from gemini_det3d.formats.text import read_bytes, read_lines

IGNORED = 255
NO_SENSOR = -2
"""Answer of a stream whose sensors delivered nothing: there is none."""
"""Label of pixels that do not count."""


class NoSuchSplit(FormatError):
    """The list of a split, or its images, are not there at all."""


@dataclass(frozen=True)
class SegFrame:
    """The files of one moment.

    Attributes:
        name: Unique in its set.
        images: Path of each modality's image.
        labels: Path of the label map.
        group: What it was taken in, for example a weather; empty where the set has none.
    """

    name: str
    images: Mapping[str, Path]
    labels: Path
    group: str = ""


def list_nyudv2(root: str | os.PathLike, split: str) -> list[SegFrame]:
    """Frames of `<root>/<split>.txt`: RGB, labels and depth on a line, separated by blanks.

    Raises:
        FormatError: The list is missing, empty, or a line has not three paths.
    """
    root = Path(root)
    rows = _rows(root / f"{split}.txt", 3)
    files = ([_listed(root / path) for path in row] for row in rows)
    return [
        SegFrame(name, {"rgb": rgb, "depth": depth}, labels)
        for name, (rgb, labels, depth) in zip(_names(root, [row[0] for row in rows]), files)
    ]


def list_sunrgbd(root: str | os.PathLike, split: str) -> list[SegFrame]:
    """Frames of `<root>/<split>.txt`; the first path on a line tells the name of the frame.

    Sub-folders of `RGB` belong to the name (`kv1/0`); folders above it do not.

    Raises:
        FormatError: The list is missing or empty, or two of its lines lead to one file.
    """
    root, path = Path(root), Path(root) / f"{split}.txt"
    frames: list[SegFrame] = []
    lines: dict[str, str] = {}
    for (line,) in (row[:1] for row in _rows(path)):
        name = _sunrgbd_name(root, line)
        if lines.setdefault(name, line) != line:
            raise FormatError(path, f"{lines[name]} and {line} are both RGB/{name}")
        images = {
            "rgb": _file_of(root / "RGB", name, ".jpg"),
            "depth": _file_of(root / "Depth", name, ".png"),
        }
        frames.append(SegFrame(name, images, _file_of(root / "labels", name, ".png")))
    return frames


def _listed(path: Path) -> Path:
    """The file that a list names, or the same name with another image suffix (``.PNG``)."""
    return path if os.path.isfile(path) else find_file(path.parent, stem_of(path)) or path


def _sunrgbd_name(root: Path, line: str) -> str:
    parts = line.replace("\\", "/").split("/")
    inside = parts[parts.index("RGB") + 1 :] if "RGB" in parts else parts
    stem = stem_of(inside[-1])
    deep = "/".join([*inside[:-1], stem])
    is_deep = not line.startswith("/") and find_file(root / "RGB", deep) is not None
    return deep if "RGB" in parts or is_deep else stem


DELIVER_FOLDERS = {
    "rgb": ("img", "rgb"),
    "depth": ("hha", "depth"),
    "event": ("event", "event"),
    "lidar": ("lidar", "lidar"),
}
"""For each modality its folder and the word in its file names."""


def deliver_path(root: Path, modality: str, place: str, name: str) -> Path:
    """Where a file lies; `place` is weather/split/map, `name` holds ``{}`` for the word."""
    folder, word = DELIVER_FOLDERS.get(modality, ("semantic", "semantic"))
    return root / folder / place / f"{name.format(word)}.png"


def list_deliver(root: str | os.PathLike, split: str) -> list[SegFrame]:
    """Frames of a split: all files `img/<weather>/<split>/<map>/*_rgb_*.png`.

    Raises:
        FormatError: There is none, or two files are of one frame.
    """
    root = Path(root)
    files = [
        file
        for file in sorted((root / "img").glob(f"*/{split}/*/*"))
        if file.name.lower().endswith(IMAGE_SUFFIXES) and is_data_file(file)
    ]
    if not files:
        raise NoSuchSplit(root / "img", f"holds no image of the split {split!r}")
    frames = []
    _refuse_twins(files)
    for file in files:
        place, stem = file.parent.relative_to(root / "img").as_posix(), stem_of(file)
        name = stem.replace("_rgb", "_{}")
        images = {m: _deliver_file(root, m, place, name) for m in DELIVER_FOLDERS}
        labels = _deliver_file(root, "labels", place, name)
        frames.append(SegFrame(f"{place}/{stem}", images, labels, place.split("/")[0]))
    return frames


def _refuse_twins(files: Sequence[Path]) -> None:
    known: dict[tuple[Path, str], Path] = {}
    for file in files:
        first = known.setdefault((file.parent, stem_of(file)), file)
        if first != file:
            raise FormatError(file, f"is of one frame with {first}; keep one of the two")


def _deliver_file(root: Path, modality: str, place: str, name: str) -> Path:
    usual = deliver_path(root, modality, place, name)
    return _file_of(usual.parent, stem_of(usual), ".png")


def read_color(
    path: str | os.PathLike, max_value: float | None = None, on_non_finite: str = "error"
) -> np.ndarray:
    """Read an image of any modality; see :func:`gemini_det3d.formats.images.decode_sensor`."""
    return decode_sensor(read_bytes(path), path, max_value, on_non_finite)


def read_labels(
    path: str | os.PathLike,
    starts_at: int = 0,
    num_classes: int | None = None,
    code: int | str | None = None,
) -> np.ndarray:
    """Read a label map.

    Args:
        path: PNG or TIFF; see :func:`gemini_det3d.formats.images.decode_labels`.
        starts_at: Number of the first class in the file; lower ones become `IGNORED`, as 255.
        num_classes: How many classes there are; None: any.
        code: What several channels mean; see `decode_labels`.

    Returns:
        ``(H, W)`` uint8; classes from 0.

    Raises:
        FormatError: It is missing, cut off, no label map, or holds a number that is no class.
    """
    numbers = decode_labels(read_bytes(path), path, code)
    fault = label_fault(np.unique(numbers), starts_at, num_classes)
    if fault:
        raise FormatError(path, fault)
    is_counted = (numbers >= starts_at) & (numbers != IGNORED)
    return np.where(is_counted, numbers - starts_at, IGNORED).astype(np.uint8)


def label_fault(values: np.ndarray, starts_at: int, num_classes: int | None) -> str | None:
    """What is wrong with the numbers of a label map, or of a whole set of them.

    Args:
        values: Numbers that occur, sorted.
        starts_at: Number of the first class.
        num_classes: K; None: any that 8 bits hold.

    Returns:
        One line, with the `first_label` that would do where there is one; None: all are classes.
    """
    count = IGNORED if num_classes is None else num_classes
    counted = values[values != IGNORED]
    wrong = counted[(counted < 0) | (counted >= starts_at + count)]
    if not len(wrong):
        return None
    shown = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
    fault = f"holds {shown}; the {count} classes are {starts_at} to {starts_at + count - 1}"
    others = (s for s in (0, 1) if 0 <= counted[0] and counted[-1] < s + count)
    fits = next((s for s in others if s != starts_at), None)
    if fits is not None:
        return f"{fault} (first_label={fits} would fit)"
    return f"{fault}, {IGNORED} is ignored"


def write_image(path: str | os.PathLike, pixels: np.ndarray) -> None:
    """Write ``(H, W)`` or ``(H, W, 3)`` uint8; never half of one."""
    from PIL import Image

    kind = "JPEG" if Path(path).suffix.lower() in (".jpg", ".jpeg") else "PNG"
    options = {"quality": 95} if kind == "JPEG" else {"compress_level": 1}
    picture = Image.fromarray(pixels)
    write_whole(path, lambda file: picture.save(file, format=kind, **options))


def _file_of(folder: Path, name: str, suffix: str) -> Path:
    """A frame's file of any image suffix; the usual one where there is none."""
    usual = folder / f"{name}{suffix}"
    return usual if os.path.isfile(usual) else find_file(folder, name) or usual


def _names(root: Path, paths: Sequence[str]) -> list[str]:
    """Names of frames: stems, with the folders that are not common to all."""
    files = [PurePosixPath(root.absolute().as_posix(), path.replace("\\", "/")) for path in paths]
    common = os.path.commonpath([file.parent for file in files])
    return [(f.parent.relative_to(common) / stem_of(f)).as_posix() for f in files]


def paths_of(line: str) -> list[str]:
    """Paths on a line of a list; blanks belong to their names where tabs stand between them."""
    return [word.strip() for word in (line.split("\t") if "\t" in line else line.split())]


def _rows(path: Path, count: int | None = None) -> list[Sequence[str]]:
    if not path.exists():
        raise NoSuchSplit(path, "no such file")
    rows = []
    for number, line in read_lines(path):
        words = paths_of(line)
        if count is not None and len(words) != count:
            fault = f"line {number}: expected {count} paths, got {len(words)}"
            hint = "; tabs between paths let them hold blanks" if len(words) > count else ""
            raise FormatError(path, fault + hint)
        rows.append(words)
    if not rows:
        raise FormatError(path, "lists no frames")
    return rows

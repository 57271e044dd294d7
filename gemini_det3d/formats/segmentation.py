"""Images, label maps and lists of the RGB-X segmentation sets, as they are published.

NYUDv2: lines of three paths (RGB, labels, depth) in `train.txt` and `val.txt`. SUN RGB-D: the
folders `RGB`, `labels`, `Depth` and lists of RGB paths. DeLiVER: folders by modality, weather,
split and map, no lists.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.text import read_bytes, read_lines

IGNORED = 255
"""Label of pixels that do not count."""


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
    return [
        SegFrame(Path(rgb).stem, {"rgb": root / rgb, "depth": root / depth}, root / labels)
        for rgb, labels, depth in _rows(root / f"{split}.txt", 3)
    ]


def list_sunrgbd(root: str | os.PathLike, split: str) -> list[SegFrame]:
    """Frames of `<root>/<split>.txt`; the first path on a line tells the number of the frame.

    Raises:
        FormatError: The list is missing or empty.
    """
    root = Path(root)
    stems = [Path(row[0]).stem for row in _rows(root / f"{split}.txt")]
    return [
        SegFrame(
            stem,
            {"rgb": root / "RGB" / f"{stem}.jpg", "depth": root / "Depth" / f"{stem}.png"},
            root / "labels" / f"{stem}.png",
        )
        for stem in stems
    ]


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
        FormatError: There is none.
    """
    root = Path(root)
    files = sorted((root / "img").glob(f"*/{split}/*/*.png"))
    if not files:
        raise FormatError(root / "img", f"holds no image of the split {split!r}")
    frames = []
    for file in files:
        place = file.parent.relative_to(root / "img").as_posix()
        name = file.stem.replace("_rgb", "_{}")
        images = {m: deliver_path(root, m, place, name) for m in DELIVER_FOLDERS}
        labels = deliver_path(root, "labels", place, name)
        frames.append(SegFrame(f"{place}/{file.stem}", images, labels, place.split("/")[0]))
    return frames


def read_color(path: str | os.PathLike, max_value: float | None = None) -> np.ndarray:
    """Read an image of any modality.

    Args:
        path: PNG or JPEG.
        max_value: Value of a 16-bit image that becomes 255; None: 65535. Eight bits stay.

    Returns:
        ``(H, W, 3)``: uint8, or float32 from 16 bits; one channel is repeated thrice.

    Raises:
        FormatError: It is missing, cut off or no image.
    """
    pixels = _read_pixels(path)
    if pixels.dtype != np.uint8:
        pixels = np.minimum(pixels.astype(np.float32) * (255.0 / (max_value or 65535)), 255.0)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return pixels[..., :3]


def read_labels(path: str | os.PathLike, starts_at: int = 0) -> np.ndarray:
    """Read a label map.

    Args:
        path: PNG of one channel, or of several that are equal or whose first counts.
        starts_at: Number of the first class in the file; lower ones become `IGNORED`, as 255.

    Returns:
        ``(H, W)`` uint8; classes from 0.

    Raises:
        FormatError: It is missing, cut off or no image.
    """
    pixels = _read_pixels(path)
    labels = pixels if pixels.ndim == 2 else pixels[..., 0]
    labels = labels.astype(np.int64)
    is_counted = (labels >= starts_at) & (labels != IGNORED)
    return np.where(is_counted, labels - starts_at, IGNORED).astype(np.uint8)


def write_image(path: str | os.PathLike, pixels: np.ndarray) -> None:
    """Write ``(H, W)`` or ``(H, W, 3)`` uint8; never half of one."""
    from PIL import Image

    kind = "JPEG" if Path(path).suffix.lower() in (".jpg", ".jpeg") else "PNG"
    options = {"quality": 95} if kind == "JPEG" else {"compress_level": 1}
    picture = Image.fromarray(pixels)
    write_whole(path, lambda file: picture.save(file, format=kind, **options))


def _read_pixels(path: str | os.PathLike) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(read_bytes(path))) as image:
            if image.mode not in ("L", "P", "RGB", "I", "I;16"):  # P: its index is the label
                image = image.convert("RGB")
            return np.asarray(image)
    except FormatError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        raise FormatError(path, f"is not a readable image ({error})") from error


def _rows(path: Path, count: int | None = None) -> list[Sequence[str]]:
    rows = []
    for number, line in read_lines(path):
        words = line.split("\t") if "\t" in line else line.split()
        if count is not None and len(words) != count:
            raise FormatError(path, f"line {number}: expected {count} paths, got {len(words)}")
        rows.append([word.strip() for word in words])
    if not rows:
        raise FormatError(path, "lists no frames")
    return rows

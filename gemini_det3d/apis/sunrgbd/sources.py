"""Where SUN RGB-D's frames come from: the MATLAB extraction, or the official download itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gemini_det3d.apis.findings import fingerprint
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import require_folder
from gemini_det3d.formats.images import decode_color
from gemini_det3d.formats.sunrgbd import (
    RoomCalibration,
    RoomObjects,
    read_calibration,
    read_depth_points,
    read_labels,
)
from gemini_det3d.formats.sunrgbd_official import (
    META_FILE,
    Archive,
    OfficialFrame,
    decode_depth,
    lift_depth,
    read_official,
    with_outlines,
)
from gemini_det3d.formats.sunrgbd_sensors import checked_points
from gemini_det3d.formats.text import first_words, read_bytes, read_lines

EXTRACTED = "sunrgbd_trainval"
SPLITS = ("train", "val")
_KINDS = {"image": "jpg", "depth": "mat", "calib": "txt", "label": "txt"}


class ExtractedFrames:
    """``sunrgbd_trainval`` as mmdet3d documents it.

    Args:
        root: Folder that holds it.

    Raises:
        FormatError: A list is missing, or names a frame twice or no frame.
    """

    writes_sources = False

    def __init__(self, root: Path) -> None:
        self.folder = root / EXTRACTED
        self.frames = {split: self._read_list(split) for split in SPLITS}

    def files(self, stem: str) -> dict[str, Path]:
        """A frame's files by kind."""
        return {k: self.folder / k / f"{stem}.{suffix}" for k, suffix in _KINDS.items()}

    def where(self, stem: str) -> dict[str, str]:
        """How a frame's parts are called in messages."""
        return {kind: str(path) for kind, path in self.files(stem).items()}

    def fingerprint(self, stem: str) -> str:
        """One word that changes when a file of the frame does."""
        return fingerprint(self.files(stem).values())

    def readers(self, stem: str) -> dict[str, Callable[[], Any]]:
        """How to read each part of a frame; every one raises FormatError only."""
        files = self.files(stem)
        return {
            "calib": lambda: read_calibration(files["calib"]),
            "label": lambda: read_labels(files["label"]),
            "image": lambda: _whole_image(files["image"]),
            "depth": lambda: read_depth_points(files["depth"]),
        }

    def classes(self) -> set[str]:
        """Names in all label files."""
        stems = dict.fromkeys(stem for listed in self.frames.values() for stem in listed)
        return first_words(self.files(stem)["label"] for stem in stems)

    def _read_list(self, split: str) -> list[str]:
        path = self.folder / f"{split}_data_idx.txt"
        if not path.is_file():
            fault = f"no such file; it holds the number of a frame of {split} on each line"
            raise FormatError(path, f"{fault} (mmdet3d's extract_split.m writes both lists)")
        stems = []
        for number, line in read_lines(path):
            if not line.isdigit():
                raise FormatError(path, f"line {number}: {line!r} is no number of a frame")
            stems.append(f"{int(line):06d}")
        if len(set(stems)) != len(stems):
            twice = next(stem for stem in stems if stems.count(stem) > 1)
            raise FormatError(path, f"frame {int(twice)} is listed twice")
        return stems


class OfficialFrames:
    """The official download: metadata, and the archive as a folder or a zip file.

    Args:
        root: Folder that holds both.

    Raises:
        FormatError: A part is missing or of another kind.
    """

    writes_sources = True

    def __init__(self, root: Path) -> None:
        self.meta = root / META_FILE
        self.archive = Archive(root)
        self.entries: dict[str, OfficialFrame] = {
            f"{frame.number:06d}": frame for frame in read_official(root)
        }
        self.frames = {
            split: [stem for stem, frame in self.entries.items() if frame.split == split]
            for split in SPLITS
        }

    def where(self, stem: str) -> dict[str, str]:
        """How a frame's parts are called in messages."""
        frame = self.entries[stem]
        image, depth = self.archive.where(frame.image), self.archive.where(frame.depth)
        return {"image": image, "depth": depth, "calib": str(self.meta), "label": str(self.meta)}

    def fingerprint(self, stem: str) -> str:
        """One word that changes when the download does."""
        names = [self.archive.path]
        if self.archive.is_folder:
            frame = self.entries[stem]
            names = [self.archive.root / frame.image, self.archive.root / frame.depth]
        return fingerprint([self.meta, *names])

    def readers(self, stem: str) -> dict[str, Callable[[], Any]]:
        """How to read each part of a frame; every one raises FormatError only."""
        frame = self.entries[stem]
        return {
            "calib": lambda: _or_raise(frame.calibration),
            "label": lambda: self._labels(frame),
            "image": lambda: self._image(frame),
            "depth": lambda: self._points(frame),
        }

    def classes(self) -> set[str]:
        """Names of all frames' boxes."""
        return {
            name
            for frame in self.entries.values()
            if not isinstance(frame.objects, FormatError)
            for name in frame.objects.names.tolist()
        }

    def _image(self, frame: OfficialFrame) -> tuple[bytes, np.ndarray]:
        data, name = self.archive.read(frame.image), self.archive.where(frame.image)
        return data, decode_color(data, name)

    def _labels(self, frame: OfficialFrame) -> RoomObjects:
        objects, calibration = _or_raise(frame.objects), _or_raise(frame.calibration)
        height, width = self._image(frame)[1].shape[:2]
        return with_outlines(objects, calibration, (width, height))

    def _points(self, frame: OfficialFrame) -> np.ndarray:
        name = self.archive.where(frame.depth)
        depth, image = decode_depth(self.archive.read(frame.depth), name), self._image(frame)[1]
        if depth.shape != image.shape[:2]:
            sizes = f"{depth.shape[1]} x {depth.shape[0]}, the image {image.shape[1]} x"
            raise FormatError(name, f"is {sizes} {image.shape[0]} pixels")
        calibration: RoomCalibration = _or_raise(frame.calibration)
        return checked_points(lift_depth(depth, image, calibration), name)


def open_source(root: Path) -> ExtractedFrames | OfficialFrames:
    """The frames that a folder holds, whichever way.

    Args:
        root: Folder with ``sunrgbd_trainval``, or with the official download, itself or in
            ``OFFICIAL_SUNRGBD``.

    Raises:
        FormatError: It holds neither, or a part is missing.
    """
    require_folder(root)
    if (root / EXTRACTED / "depth").is_dir():
        return ExtractedFrames(root)
    for folder in (root, root / "OFFICIAL_SUNRGBD"):
        if (folder / META_FILE).is_file():
            return OfficialFrames(folder)
    if (root / "depth").is_dir() and root.resolve().name == EXTRACTED:
        raise FormatError(root, "is the extraction itself; name the folder that it lies in")
    raise FormatError(root, f"holds neither {EXTRACTED}/depth nor {META_FILE}")


def _whole_image(path: Path) -> tuple[bytes, np.ndarray]:
    data = read_bytes(path)
    return data, decode_color(data, path)


def _or_raise(value: Any) -> Any:
    if isinstance(value, FormatError):
        raise value
    return value

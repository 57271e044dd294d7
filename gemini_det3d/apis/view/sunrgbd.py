"""Rooms: SUN RGB-D as a folder (either download, or a world made by us), or its info file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from gemini_det3d.apis.sunrgbd.sources import EXTRACTED, SPLITS, ExtractedFrames, open_source
from gemini_det3d.apis.view.source import Results, result_files
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images import read_image
from gemini_det3d.formats.kitti import read_points
from gemini_det3d.formats.stems import files_by_stem
from gemini_det3d.formats.sunrgbd import FROM_ZERO, RoomObjects, SunInfos, read_results
from gemini_det3d.formats.text import first_words
from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.page import Camera, ViewFrame

_COLUMNS = 6
_NEED = f"this layout needs {_COLUMNS}"
_FOLDERS = ("", "sunrgbd_trainval/image", "points")  # where an info file's names may lie


class RoomFrames:
    """Frames in mmdet3d's depth frame (x right, y front, z up), with the colours of their points.

    Args:
        root: Folder that `gemini-det3d prepare sunrgbd` reads; without lists its depth files say
            which frames there are.

    Raises:
        FormatError: It holds no rooms.
    """

    sets: Sequence[str] = ()

    def __init__(self, root: Path) -> None:
        self._source = _Unlisted(root) if _has_no_lists(root) else open_source(root)
        self.names = list(dict.fromkeys(sum(self._source.frames.values(), [])))

    @property
    def classes(self) -> set[str]:
        """Those of all labels."""
        return self._source.classes()

    def files(self, name: str) -> list[Path]:
        """Files of a frame, or what says where they are."""
        return [Path(path) for path in self._source.where(name).values()]

    def read(self, name: str) -> ViewFrame:
        """The frame."""
        readers = self._source.readers(name)
        depth2img = readers["calib"]().depth2img
        _, image = readers["image"]()
        is_labelled = Path(self._source.where(name)["label"]).is_file()
        truth = room_boxes(readers["label"]()) if is_labelled else None
        return _frame(name, readers["depth"](), image, depth2img, truth)

    def results(self, path: Path) -> Results:
        """A folder of result files, as `eval-sunrgbd` reads them."""
        return _results(path, self.names)


class _Unlisted(ExtractedFrames):
    """Rooms without the lists of a split: all that have depth."""

    def __init__(self, root: Path) -> None:
        self.folder = root / EXTRACTED
        self.frames = {"all": list(files_by_stem(self.folder / "depth", (".mat",)))}


def _has_no_lists(root: Path) -> bool:
    folder = root / EXTRACTED
    lists = [folder / f"{split}_data_idx.txt" for split in SPLITS]
    return (folder / "depth").is_dir() and not any(path.is_file() for path in lists)


class RoomInfoFrames:
    """Frames of mmdet3d's info file, whose files lie beside it or in their usual folders.

    Args:
        path: The pickle or its JSON twin; nothing in it is run.

    Raises:
        FormatError: It cannot be read.
    """

    sets: Sequence[str] = ()

    def __init__(self, path: Path) -> None:
        self._path, self._infos = path, SunInfos(path)
        self.names = list(self._infos.frames)
        self.classes = self._infos.classes

    def files(self, name: str) -> list[Path]:
        """Points and image of a frame, and the info file."""
        return [self._path, self._find(f"{name}.bin"), self._find(self._infos.image_name(name))]

    def read(self, name: str) -> ViewFrame:
        """The frame; one without `instances` has no truth."""
        _, points, image = self.files(name)
        truth = room_boxes(self._infos.objects(name)) if self._infos.has_truth(name) else None
        matrix = self._infos.depth2img(name)[:3, :3]
        return _frame(name, read_points(points, _COLUMNS, _NEED), read_image(image), matrix, truth)

    def results(self, path: Path) -> Results:
        """A folder of result files, as `eval-sunrgbd` reads them."""
        return _results(path, self.names)

    def _find(self, file: str) -> Path:
        places = [self._path.parent / folder / file for folder in _FOLDERS]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            raise FormatError(self._path, f"{file} lies neither beside it nor in {_FOLDERS[1:]}")
        return found


def room_boxes(objects: RoomObjects) -> LabeledBoxes:
    """Boxes of the depth frame with z at the bottom; the page turns no axes."""
    return LabeledBoxes(objects.bottom_boxes, objects.names.tolist(), objects.scores)


def _frame(
    name: str, points: np.ndarray, image: np.ndarray, matrix: np.ndarray, truth: LabeledBoxes | None
) -> ViewFrame:
    projection = np.column_stack([FROM_ZERO @ matrix, np.zeros(3)])
    colors = np.rint(255 * np.clip(points[:, 3:6], 0, 1)).astype(np.uint8)
    cameras = [Camera(image, projection, "image")]
    return ViewFrame(name, points[:, :3], cameras, truth, colors=colors)


def _results(path: Path, names: list[str]) -> Results:
    files = result_files(path, names)
    readers = {name: partial(_read_room_results, file) for name, file in files.items()}
    return Results(readers, first_words(files.values()))


def _read_room_results(path: Path) -> LabeledBoxes:
    return room_boxes(read_results(path))

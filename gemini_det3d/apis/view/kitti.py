"""Frames in KITTI's layout, from files of one's own, or from mmdet3d's info file of KITTI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gemini_det3d.apis.infer import find_frames
from gemini_det3d.apis.view.source import Results, result_files
from gemini_det3d.formats import clouds
from gemini_det3d.formats.calibration_json import read_any_calibration
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images import read_image
from gemini_det3d.formats.kitti import (
    Calibration,
    Objects,
    read_objects,
    read_points,
    to_lidar_boxes,
)
from gemini_det3d.formats.kitti_infos import KittiInfos, read_infos
from gemini_det3d.formats.stems import files_by_stem, find_file
from gemini_det3d.formats.text import first_words
from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.page import Camera, ViewFrame

_DONT_CARE = "dontcare"
_TRAINING, _TESTING = "training", "testing"


@dataclass(frozen=True)
class FrameFiles:
    """Files of one frame; None where there is none.

    Attributes:
        name: Of the frame.
        points: Point file.
        image: Image file.
        calib: Calibration file. Without it KITTI's boxes cannot be placed among the points.
        label: KITTI label file.
    """

    name: str
    points: Path
    image: Path | None = None
    calib: Path | None = None
    label: Path | None = None


class KittiFrames:
    """Frames whose points, image, calibration and labels are files of their own.

    Args:
        frames: Their files.
        columns: Values per point of .bin files.
    """

    sets: Sequence[str] = ()

    def __init__(self, frames: Sequence[FrameFiles], columns: int = 4) -> None:
        self._frames = {frame.name: frame for frame in frames}
        self.names = list(self._frames)
        self._columns = columns

    @classmethod
    def of_folder(cls, root: Path, columns: int = 4, part: str = _TRAINING) -> KittiFrames:
        """Frames of a folder in KITTI's layout; its point clouds decide which there are.

        Args:
            root: Folder with ``training/velodyne`` (or that ``training`` folder itself), and beside
                it ``image_2``, ``calib`` and ``label_2`` where there are such.
            columns: Values per point.
            part: The folder in it, ``training`` or ``testing``.

        Raises:
            FormatError: It holds no point clouds.
        """
        has_parts = any((root / name).is_dir() for name in (_TRAINING, _TESTING))
        folder = root / part if has_parts else root
        points = files_by_stem(folder / "velodyne", clouds.SUFFIXES)
        if not points:
            raise FormatError(folder / "velodyne", "holds no point clouds")
        return cls([_of_folder(folder, name, path) for name, path in points.items()], columns)

    @classmethod
    def of_infos(cls, path: Path, columns: int = 4) -> KittiFrames:
        """Frames that an info file lists, whose files lie in KITTI's layout beside it.

        They are those of ``testing`` where the file's paths or its name say so, else of
        ``training``.

        Raises:
            FormatError: It cannot be read, or the points of a frame are not there.
        """
        infos = read_infos(path)
        names = [infos.name_of(frame) for frame in infos.frames]
        there = cls.of_folder(path.parent, columns, _part_of(infos, path))
        absent = next((name for name in names if name not in there._frames), None)
        if absent is not None:
            raise FormatError(path, f"there are no points of frame {absent} beside it")
        return cls([there._frames[name] for name in names], columns)

    @classmethod
    def of_files(
        cls, image: Path, points: Path, calib: Path, label: Path | None, columns: int = 4
    ) -> KittiFrames:
        """Frames of files or folders of their own, as `infer` takes them."""
        found = find_frames(image, points, calib, label)
        return cls(
            [FrameFiles(f.name, f.points, f.image, f.calib, f.label) for f in found], columns
        )

    @property
    def classes(self) -> set[str]:
        """Those of all label files."""
        return _classes(frame.label for frame in self._frames.values() if frame.label is not None)

    def files(self, name: str) -> list[Path]:
        """Files of a frame."""
        frame = self._frames[name]
        return [p for p in (frame.points, frame.image, frame.calib, frame.label) if p is not None]

    def read(self, name: str) -> ViewFrame:
        """The frame; without a calibration it has no boxes."""
        frame = self._frames[name]
        calibration = None if frame.calib is None else read_any_calibration(frame.calib)
        truth = None
        if frame.label is not None and calibration is not None:
            truth = _boxes(read_objects(frame.label), calibration)
        cameras = []
        if frame.image is not None:
            matrix = None if calibration is None else calibration.cam2img @ calibration.lidar2cam
            cameras.append(Camera(read_image(frame.image), matrix, "image"))
        return ViewFrame(name, read_points(frame.points, self._columns), cameras, truth)

    def results(self, path: Path) -> Results:
        """A folder of KITTI result files; frames without a calibration have none to show."""
        files = result_files(path, self.names)
        readers = {
            name: partial(self._read_results, name, file)
            for name, file in files.items()
            if self._frames[name].calib is not None
        }
        return Results(readers, _classes(files.values()))

    def _read_results(self, name: str, path: Path) -> LabeledBoxes:
        calib = self._frames[name].calib
        assert calib is not None
        return _boxes(read_objects(path, with_score=True), read_any_calibration(calib))


def _part_of(infos: KittiInfos, path: Path) -> str:
    """The folder that an info file's frames are of."""
    parts = {part for file in infos.paths() for part in file.parts[:-1]}
    if parts & {_TRAINING, _TESTING}:
        return _TESTING if _TESTING in parts else _TRAINING
    return _TESTING if "test" in path.stem.split("_") else _TRAINING


def _of_folder(folder: Path, name: str, points: Path) -> FrameFiles:
    return FrameFiles(
        name,
        points,
        find_file(folder / "image_2", name),
        find_file(folder / "calib", name, (".txt",)),
        find_file(folder / "label_2", name, (".txt",)),
    )


def _classes(paths: Iterable[Path]) -> set[str]:
    return {name for name in first_words(paths) if name.lower() != _DONT_CARE}


def _boxes(objects: Objects, calibration: Calibration) -> LabeledBoxes:
    objects = objects.select([name.lower() != _DONT_CARE for name in objects.name])
    boxes = to_lidar_boxes(objects, calibration)
    return LabeledBoxes(boxes, objects.name.tolist(), objects.score)

"""The frames that `gemini-det3d view` shows: from a folder in KITTI's layout, or from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gemini_det3d.apis.file_evaluation import text_files
from gemini_det3d.apis.infer import find_frames
from gemini_det3d.formats import clouds
from gemini_det3d.formats.calibration_json import read_any_calibration
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images import read_image
from gemini_det3d.formats.kitti import Calibration, read_objects, read_points, to_lidar_boxes
from gemini_det3d.formats.stems import files_by_stem, find_file
from gemini_det3d.formats.text import read_lines
from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.page import ViewFrame

_DONT_CARE = "dontcare"


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


def kitti_frames(root: Path) -> list[FrameFiles]:
    """Frames of a folder in KITTI's layout; its point clouds decide which there are.

    Args:
        root: Folder with ``training/velodyne`` (or that ``training`` folder itself), and beside it
            ``image_2``, ``calib`` and ``label_2`` where there are such.

    Returns:
        The frames, sorted by name.

    Raises:
        FormatError: It holds no point clouds.
    """
    folder = root / "training" if (root / "training").is_dir() else root
    if not (folder / "velodyne").is_dir():
        raise FormatError(root, "holds no training/velodyne; a folder in KITTI's layout does")
    points = files_by_stem(folder / "velodyne", clouds.SUFFIXES)
    if not points:
        raise FormatError(folder / "velodyne", "holds no point clouds")
    return [
        FrameFiles(
            name,
            path,
            find_file(folder / "image_2", name),
            find_file(folder / "calib", name, (".txt",)),
            find_file(folder / "label_2", name, (".txt",)),
        )
        for name, path in points.items()
    ]


def folder_frames(image: Path, points: Path, calib: Path, label: Path | None) -> list[FrameFiles]:
    """Frames of images, points and calibrations, each a file or a folder, as `infer` takes them."""
    found = find_frames(image, points, calib, label)
    return [FrameFiles(f.name, f.points, f.image, f.calib, f.label) for f in found]


def choose_frames(
    frames: Sequence[FrameFiles], split: Path | None, names: Sequence[str] | None
) -> list[FrameFiles]:
    """The frames asked for.

    Args:
        frames: All there are.
        split: File that lists frames, one a line, or None.
        names: Frames, or None. Numbers may lack their leading zeros, here and in the file.

    Raises:
        FormatError: A frame is not there, or none is left.
    """
    known = {frame.name: frame for frame in frames}
    chosen = set(known)
    lists = [(split, [line for _, line in read_lines(split)])] if split else []
    lists += [("--frames", list(names))] if names else []
    for source, wanted in lists:
        full = [name if name in known else name.zfill(6) for name in wanted]
        unknown = [name for name, key in zip(wanted, full) if key not in known]
        if unknown:
            raise FormatError(source, f"there is no frame {unknown[0]}")
        chosen &= set(full)
    if not chosen:
        raise FormatError(split or "--frames", "leaves no frame to show")
    return [frame for frame in frames if frame.name in chosen]


def result_sets(folders: Sequence[Path], frames: Sequence[FrameFiles]) -> dict[str, dict]:
    """Result files of each set.

    Args:
        folders: Folders of ``<frame>.txt``.
        frames: The frames shown.

    Returns:
        Name of the set (its folder's; the path where two are alike) -> frame -> file.

    Raises:
        FormatError: A folder holds no result file of any of the frames, or is given twice.
    """
    sets: dict[str, dict] = {}
    ends = [folder.resolve().name for folder in folders]
    for folder, end in zip(folders, ends):
        files = text_files(folder, "result")
        mine = {f.name: files.get(f.name, files.get(f.name.lstrip("0") or "0")) for f in frames}
        if not any(mine.values()):
            raise FormatError(folder, f"has no result of the {len(frames)} frames to show")
        name = end if ends.count(end) == 1 else str(folder)
        if name in sets:
            raise FormatError(folder, "is given twice")
        sets[name] = mine
    return sets


def read_frames(
    frames: Sequence[FrameFiles], sets: dict[str, dict], columns: int = 4
) -> Iterator[ViewFrame]:
    """Read what the files hold, frame after frame.

    Args:
        frames: Their files.
        sets: What :func:`result_sets` returns.
        columns: Values per point of .bin files.

    Yields:
        Frames as the page shows them.

    Raises:
        FormatError: A file cannot be used.
    """
    for files in frames:
        calibration = None if files.calib is None else read_any_calibration(files.calib)
        yield ViewFrame(
            name=files.name,
            points=read_points(files.points, columns),
            image=None if files.image is None else read_image(files.image),
            lidar2cam=None if calibration is None else calibration.lidar2cam,
            cam2img=None if calibration is None else calibration.cam2img,
            truth=_read_boxes(files.label, calibration, with_score=None),
            results=[_read_boxes(of[files.name], calibration, True) for of in sets.values()],
        )


def _read_boxes(
    path: Path | None, calibration: Calibration | None, with_score: bool | None
) -> LabeledBoxes | None:
    if path is None or calibration is None:
        return None
    objects = read_objects(path, with_score)
    objects = objects.select([name.lower() != _DONT_CARE for name in objects.name])
    scores = objects.score if with_score else None
    return LabeledBoxes(to_lidar_boxes(objects, calibration), objects.name.tolist(), scores)

"""Which kind of data a path or a config is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gemini_det3d.apis.sunrgbd.sources import EXTRACTED
from gemini_det3d.apis.trained_model import find_test_dataset
from gemini_det3d.apis.view.config import DetectorFrames
from gemini_det3d.apis.view.kitti import KittiFrames
from gemini_det3d.apis.view.nuscenes import NuScenesFrames
from gemini_det3d.apis.view.pictures import PictureSource, folder_pictures, picture_source
from gemini_det3d.apis.view.source import FrameSource
from gemini_det3d.apis.view.sunrgbd import RoomFrames, RoomInfoFrames
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import require_folder
from gemini_det3d.formats.infos import load_infos
from gemini_det3d.formats.sunrgbd_official import META_FILE

_LAYOUTS = (
    "KITTI (training/velodyne), SUN RGB-D (sunrgbd_trainval), segmentation (img and semantic, RGB "
    "and labels, lists of three paths) or Taskonomy (rgb, ... and lists)"
)


def is_config(name: str) -> bool:
    """Whether what a user gave is a config: no folder, and no info file."""
    path = Path(name)
    return path.suffix == ".py" or not (path.exists() or path.suffix in (".pkl", ".json"))


def open_config(
    config: Any, checkpoints: Sequence[Path] = (), device: str | None = None
) -> FrameSource | PictureSource:
    """The test set of a config of any task.

    Args:
        config: mmengine's config.
        checkpoints: Trained parameters, each a result set.
        device: Where to run; None: CUDA where there is one.

    Raises:
        ConfigError: It has no test set.
        FormatError: A checkpoint cannot be read or does not belong to the config.
    """
    find_test_dataset(config)
    pictures = picture_source(config, checkpoints, device)
    return pictures or DetectorFrames(config, checkpoints, device)


def open_source(path: Path, columns: int = 4) -> FrameSource | PictureSource:
    """The frames of a folder or an info file.

    Args:
        path: Folder in a layout that is known, or mmdet3d's info file (*.pkl, *.json) of KITTI,
            SUN RGB-D or nuScenes.
        columns: Values per point of KITTI's .bin files.

    Raises:
        FormatError: It is none of these, or cannot be read.
    """
    if path.suffix in (".pkl", ".json"):
        return _of_infos(path, columns)
    require_folder(path, "folder or info file")
    if (path / "velodyne").is_dir() or (path / "training" / "velodyne").is_dir():
        return KittiFrames.of_folder(path, columns)
    if (path / "depth").is_dir() and path.resolve().name == EXTRACTED:
        path = path.resolve().parent
    official = (path / META_FILE, path / "OFFICIAL_SUNRGBD" / META_FILE)
    if (path / EXTRACTED / "depth").is_dir() or any(file.is_file() for file in official):
        return RoomFrames(path)
    pictures = folder_pictures(path)
    if pictures is not None:
        return pictures
    hint = next(iter(sorted(path.glob("*.pkl"))), None)
    more = "" if hint is None else f"; {hint.name} may be an info file to give instead"
    raise FormatError(path, f"has no layout that is known: {_LAYOUTS}{more}")


def _of_infos(path: Path, columns: int) -> FrameSource:
    content: Any = load_infos(path)
    if not isinstance(content, dict) or not isinstance(content.get("metainfo"), dict):
        fault = "is no info file of mmdet3d 1.x (a dict with metainfo and data_list)"
        raise FormatError(path, fault)
    meta = content["metainfo"]
    kind = str(meta.get("dataset", meta.get("DATASET", "none"))).lower()
    if kind == "nuscenes":
        return NuScenesFrames(path)
    if kind == "sunrgbd":
        return RoomInfoFrames(path)
    if kind == "kitti":
        return KittiFrames.of_infos(path, columns)
    raise FormatError(path, f"metainfo.dataset is {kind}, expected kitti, sunrgbd or nuscenes")

"""Which kind of data a path is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gemini_det3d.apis.sunrgbd.sources import EXTRACTED
from gemini_det3d.apis.view.kitti import KittiFrames
from gemini_det3d.apis.view.nuscenes import NuScenesFrames
from gemini_det3d.apis.view.source import FrameSource
from gemini_det3d.apis.view.sunrgbd import RoomFrames, RoomInfoFrames
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.infos import load_infos
from gemini_det3d.formats.sunrgbd_official import META_FILE

_LAYOUTS = "KITTI (training/velodyne), SUN RGB-D (sunrgbd_trainval)"


def open_source(path: Path, columns: int = 4) -> FrameSource:
    """The frames of a folder or an info file.

    Args:
        path: Folder in the layout of KITTI or SUN RGB-D, or mmdet3d's info file (*.pkl, *.json) of
            KITTI, SUN RGB-D or nuScenes.
        columns: Values per point of KITTI's .bin files.

    Raises:
        FormatError: It is none of these, or cannot be read.
    """
    if path.suffix in (".pkl", ".json"):
        return _of_infos(path, columns)
    if not path.is_dir():
        raise FormatError(path, "no such folder or info file")
    if (path / "velodyne").is_dir() or (path / "training" / "velodyne").is_dir():
        return KittiFrames.of_folder(path, columns)
    official = (path / META_FILE, path / "OFFICIAL_SUNRGBD" / META_FILE)
    if (path / EXTRACTED / "depth").is_dir() or any(file.is_file() for file in official):
        return RoomFrames(path)
    hint = next(iter(sorted(path.glob("*.pkl"))), None)
    more = "" if hint is None else f"; {hint.name} may be an info file to give instead"
    raise FormatError(path, f"has no layout that is known: {_LAYOUTS}{more}")


def _of_infos(path: Path, columns: int) -> FrameSource:
    content: Any = load_infos(path)
    if not isinstance(content, dict) or not isinstance(content.get("metainfo"), dict):
        raise FormatError(
            path, "is no info file of mmdet3d 1.x (a dict with metainfo and data_list)"
        )
    meta = content["metainfo"]
    kind = str(meta.get("dataset", meta.get("DATASET", "none"))).lower()
    if kind == "nuscenes":
        return NuScenesFrames(path)
    if kind == "sunrgbd":
        return RoomInfoFrames(path)
    if kind == "kitti":
        return KittiFrames.of_infos(path, columns)
    raise FormatError(path, f"metainfo.dataset is {kind}, expected kitti, sunrgbd or nuscenes")

"""Where the viewer's frames come from: one protocol, a thin source for each kind of data."""

from __future__ import annotations

from gemini_det3d.apis.view.kitti import KittiFrames
from gemini_det3d.apis.view.nuscenes import NuScenesFrames
from gemini_det3d.apis.view.opening import open_source
from gemini_det3d.apis.view.source import FrameSource, choose_frames, open_results, read_frames
from gemini_det3d.apis.view.sunrgbd import RoomFrames

__all__ = [
    "FrameSource",
    "KittiFrames",
    "NuScenesFrames",
    "RoomFrames",
    "choose_frames",
    "open_results",
    "open_source",
    "read_frames",
]

"""Where the viewer's frames come from: one protocol, a thin source for each kind of data."""

from __future__ import annotations

from gemini_det3d.apis.view.kitti import KittiFrames
from gemini_det3d.apis.view.opening import is_config, open_config, open_source
from gemini_det3d.apis.view.pictures import PictureSource
from gemini_det3d.apis.view.source import (
    FrameSource,
    Results,
    choose_frames,
    frames_with_results,
    open_results,
    read_frames,
)

__all__ = [
    "FrameSource",
    "KittiFrames",
    "PictureSource",
    "Results",
    "choose_frames",
    "frames_with_results",
    "is_config",
    "open_config",
    "open_results",
    "open_source",
    "read_frames",
]

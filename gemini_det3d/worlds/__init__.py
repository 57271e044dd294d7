"""One procedural world, seeded and exactly calibrated, for every task that needs an example.

A scene (`scene`, drawn by `street`) knows no sensor. Rays (`raycast`) ask it what they hit, and
every rendering reads the same hits: the camera's colour, depth, normals, instances and labels
(`camera`), the LiDAR's points (`lidar`), an annotator's boxes (`annotation`). `generate` writes
many frames in KITTI's raw layout.
"""

from __future__ import annotations

from gemini_det3d.worlds.annotation import Rules, annotate
from gemini_det3d.worlds.camera import Camera, Surfaces, render_image, render_surfaces
from gemini_det3d.worlds.frames import Frame, make_frame, write_frame
from gemini_det3d.worlds.generate import make_kitti_scenes
from gemini_det3d.worlds.generate_rooms import make_rooms
from gemini_det3d.worlds.lidar import Scanner, Sweep, scan
from gemini_det3d.worlds.presets import PRESETS, KittiWorld, get_preset
from gemini_det3d.worlds.raycast import Hits, cast_rays
from gemini_det3d.worlds.resumable import Made
from gemini_det3d.worlds.rig import make_calibration, make_camera
from gemini_det3d.worlds.room_frames import (
    ROOM_PRESETS,
    RoomFrame,
    RoomWorld,
    make_room_frame,
    write_room_frame,
)
from gemini_det3d.worlds.rooms import RoomStyle, sample_room
from gemini_det3d.worlds.scene import Light, Scene
from gemini_det3d.worlds.solids import Body, Part, Placement, Solids
from gemini_det3d.worlds.street import Street, sample_street
from gemini_det3d.worlds.taskonomy_set import ViewSet, make_taskonomy_views
from gemini_det3d.worlds.views import Viewpoint, render_view, sample_camera

__all__ = [
    "PRESETS",
    "ROOM_PRESETS",
    "Body",
    "Camera",
    "Frame",
    "Hits",
    "KittiWorld",
    "Light",
    "Made",
    "Part",
    "Placement",
    "RoomFrame",
    "RoomStyle",
    "RoomWorld",
    "Rules",
    "Scanner",
    "Scene",
    "Solids",
    "Street",
    "Surfaces",
    "Sweep",
    "ViewSet",
    "Viewpoint",
    "annotate",
    "cast_rays",
    "get_preset",
    "make_calibration",
    "make_camera",
    "make_frame",
    "make_kitti_scenes",
    "make_room_frame",
    "make_rooms",
    "make_taskonomy_views",
    "render_image",
    "render_surfaces",
    "render_view",
    "sample_camera",
    "sample_room",
    "sample_street",
    "scan",
    "write_frame",
    "write_room_frame",
]

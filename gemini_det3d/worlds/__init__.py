"""One procedural world, seeded and exactly calibrated, for every task that needs an example.

A scene (`scene`, drawn by `street`) knows no sensor. Rays (`raycast`) ask it what they hit, and
every rendering reads the same hits: the camera's colour, depth, normals, instances and labels
(`camera`), the LiDAR's points (`lidar`), an annotator's boxes (`annotation`). `generate` writes
many frames in KITTI's raw layout.
"""

from __future__ import annotations

from gemini_det3d.worlds.annotation import Rules, annotate
from gemini_det3d.worlds.camera import Camera, render_image, render_surfaces
from gemini_det3d.worlds.frames import make_frame
from gemini_det3d.worlds.generate import make_kitti_scenes
from gemini_det3d.worlds.generate_rooms import make_rooms
from gemini_det3d.worlds.lidar import Scanner, scan
from gemini_det3d.worlds.presets import PRESETS, KittiWorld
from gemini_det3d.worlds.raycast import cast_rays
from gemini_det3d.worlds.rig import make_calibration, make_camera
from gemini_det3d.worlds.room_frames import RoomWorld, make_room_frame
from gemini_det3d.worlds.rooms import RoomStyle, sample_room
from gemini_det3d.worlds.scene import Light, Scene
from gemini_det3d.worlds.solids import Body, Part, Placement
from gemini_det3d.worlds.street import Street, sample_street
from gemini_det3d.worlds.taskonomy_set import ViewSet, make_taskonomy_views
from gemini_det3d.worlds.views import Viewpoint, sample_camera

__all__ = [
    "PRESETS",
    "Body",
    "Camera",
    "KittiWorld",
    "Light",
    "Part",
    "Placement",
    "RoomStyle",
    "RoomWorld",
    "Rules",
    "Scanner",
    "Scene",
    "Street",
    "ViewSet",
    "Viewpoint",
    "annotate",
    "cast_rays",
    "make_calibration",
    "make_camera",
    "make_frame",
    "make_kitti_scenes",
    "make_room_frame",
    "make_rooms",
    "make_taskonomy_views",
    "render_image",
    "render_surfaces",
    "sample_camera",
    "sample_room",
    "sample_street",
    "scan",
]

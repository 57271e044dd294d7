"""KITTI's files: calibration, objects, points and images, from one place.

Units are metres, radians and pixels. Frames: rectified camera (x right, y down, z forward) for
objects, mmdet3d's LiDAR frame (x front, y left, z up) for points and ``(N, 7)`` boxes.
"""

from __future__ import annotations

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images import read_image, read_image_size
from gemini_det3d.formats.kitti_boxes import from_lidar_boxes, to_lidar_boxes
from gemini_det3d.formats.kitti_calibration import (
    Calibration,
    read_calibration,
    write_calibration,
)
from gemini_det3d.formats.kitti_objects import NO_ANGLE, Objects, read_objects, write_objects
from gemini_det3d.formats.kitti_sensors import read_points, write_points

__all__ = [
    "NO_ANGLE",
    "Calibration",
    "FormatError",
    "Objects",
    "from_lidar_boxes",
    "read_calibration",
    "read_image",
    "read_image_size",
    "read_objects",
    "read_points",
    "to_lidar_boxes",
    "write_calibration",
    "write_objects",
    "write_points",
]

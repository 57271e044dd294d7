"""SUN RGB-D's files: calibration, points, labels, results and info files, from one place.

Units are metres, radians and pixels. Points and boxes are in mmdet3d's depth frame (x right, y
front, z up); pixels of the calibration count from 1 at their centres.
"""

from __future__ import annotations

from gemini_det3d.formats.sunrgbd_infos import SunInfos, frame_info, write_infos
from gemini_det3d.formats.sunrgbd_objects import (
    SUNRGBD_CLASSES,
    RoomObjects,
    read_labels,
    read_results,
    write_labels,
    write_results,
)
from gemini_det3d.formats.sunrgbd_sensors import (
    FROM_ZERO,
    RoomCalibration,
    read_calibration,
    read_depth_points,
    write_calibration,
    write_depth_points,
)

__all__ = [
    "FROM_ZERO",
    "SUNRGBD_CLASSES",
    "RoomCalibration",
    "RoomObjects",
    "SunInfos",
    "frame_info",
    "read_calibration",
    "read_depth_points",
    "read_labels",
    "read_results",
    "write_calibration",
    "write_depth_points",
    "write_infos",
    "write_labels",
    "write_results",
]

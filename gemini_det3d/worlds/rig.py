"""The sensors of the synthetic KITTI: a calibration like KITTI's, exact to the last digit.

The camera stands a little in front of and below the LiDAR and is turned by a few tenths of a
degree against it; the image is rectified by another small rotation; the fourth column of P2 puts
the colour camera beside the reference camera. Nothing about it is an identity by chance.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.formats.kitti import Calibration
from gemini_det3d.worlds.camera import Camera
from gemini_det3d.worlds.presets import KittiWorld
from gemini_det3d.worlds.solids import pitch_matrix, yaw_matrix

# For an image as wide as KITTI's: focal length and principal point in pixels, and the column
# that moves the colour camera (pixel metres, pixel metres, metres).
_FOCAL_PX, _CENTER_PX = 721.0, (609.5, 172.9)
_SHIFT = (44.9, 0.22, 0.0027)
# Position of the LiDAR in the reference camera's frame, metres: the camera is 27 cm in front.
_LIDAR_IN_CAMERA_M = (-0.004, -0.076, -0.272)
# Yaw, pitch, roll of the camera against the LiDAR, and of the rectification, radians.
_MOUNTING_RAD = (0.0075, -0.012, 0.0015)
_RECTIFICATION_RAD = (-0.0099, 0.0042, 0.0074)

# LiDAR axes (x front, y left, z up) -> camera axes (x right, y down, z forward).
_AXES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


def make_calibration(world: KittiWorld) -> Calibration:
    """The calibration of every frame of a world.

    Returns:
        KITTI-like matrices; ``p2`` is scaled to the image's width.
    """
    scale = world.image_scale
    p2 = np.array(
        [
            [_FOCAL_PX, 0.0, _CENTER_PX[0], _SHIFT[0]],
            [0.0, _FOCAL_PX, _CENTER_PX[1], _SHIFT[1]],
            [0.0, 0.0, 1.0, _SHIFT[2]],
        ]
    )
    p2[:2] *= scale
    mounting = _AXES @ _small_rotation(*_MOUNTING_RAD)
    return Calibration(
        p2=p2,
        r0_rect=_AXES @ _small_rotation(*_RECTIFICATION_RAD) @ _AXES.T,
        tr_velo_to_cam=np.column_stack([mounting, _LIDAR_IN_CAMERA_M]),
    )


def make_camera(world: KittiWorld, calibration: Calibration) -> Camera:
    """The camera that a calibration describes, in the world of the scenes.

    Returns:
        The camera; the LiDAR hangs ``world.scanner.height_m`` over the world's origin.
    """
    world2lidar = np.eye(4)
    world2lidar[2, 3] = -world.scanner.height_m
    return Camera(
        world2img=(calibration.lidar2img @ world2lidar)[:3],
        width=world.image_width,
        height=world.image_height,
        supersample=world.supersample,
        noise=world.image_noise,
    )


def _small_rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    about_x = _AXES.T @ yaw_matrix(roll) @ _AXES
    return yaw_matrix(yaw) @ pitch_matrix(pitch) @ about_x

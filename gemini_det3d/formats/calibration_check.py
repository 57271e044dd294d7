"""Can this calibration be one? The same questions for prepare, infer, Detector and training.

What is impossible is an error, what is only unlikely a warning with the numbers. A matrix that was
transposed, or that leads the other way, is told by what it would be if it were turned around.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from gemini_det3d.geometry.boxes import in_view, project_points

# Printed with five digits a rotation keeps this much; one that is off by more than the second
# moves points by a pixel and more, and is no rotation at all beyond the third.
_ROUNDED, _NO_ROTATION = 1e-3, 0.1
# Sensors of one vehicle or room are nearer to each other, in metres.
_FAR_APART_M, _MILLIMETRES_M = 10.0, 100.0
_REACH_M = 250.0  # twice that of the scanners in use: other units
_UPRIGHT = 0.9  # cosine
_FEW_POINTS = 100
# An optical centre lies in the middle; of an image that was made smaller or larger it does not.
_MIDDLE = (0.25, 0.75)
# A turned matrix is named when it brings so many times more points into the image.
_CLEARLY_MORE = 4
# Of a box, in metres: how far its centre may lie outside the cloud.
_MARGIN_M = 5.0


class Fault(NamedTuple):
    """One finding: ``'error'`` or ``'warning'``, and what, in one line."""

    level: Literal["error", "warning"]
    text: str


def check_matrices(
    lidar2cam: np.ndarray, cam2img: np.ndarray, size: tuple[int, int] | None = None
) -> list[Fault]:
    """What the matrices say of themselves.

    Args:
        lidar2cam: ``(4, 4)`` LiDAR to camera frame, metres.
        cam2img: ``(3, 3)``, ``(3, 4)`` or ``(4, 4)`` camera frame to pixels.
        size: ``(width, height)`` of the image in pixels; None: unknown.

    Returns:
        Faults; none where all is well.
    """
    pose, camera = list(_of_pose(np.asarray(lidar2cam))), list(_of_camera(np.asarray(cam2img)))
    return pose + (camera if camera or size is None else check_center(np.asarray(cam2img), size))


def check_center(cam2img: np.ndarray, size: tuple[int, int]) -> list[Fault]:
    """Whether an image has the size that its camera matrix is of.

    Args:
        cam2img: As for :func:`check_matrices`.
        size: ``(width, height)`` of the image in pixels.
    """
    center = cam2img[:2, 2]
    low, high = (np.array(size) * share for share in _MIDDLE)
    if not ((center < low) | (center > high)).any():
        return []
    text = f"cam2img: its centre ({center[0]:.5g}, {center[1]:.5g}) is not in the middle of the "
    return [Fault("warning", f"{text}image, {size[0]} x {size[1]} px; was the image resized?")]


def check_rotation(rotation: np.ndarray, name: str) -> list[Fault]:
    """Whether a matrix turns, and neither stretches nor mirrors.

    Args:
        rotation: ``(3, 3)``.
        name: What the message calls it.
    """
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > _ROUNDED:
        level = "error" if error > _NO_ROTATION else "warning"
        scale = float(np.cbrt(abs(np.linalg.det(rotation))))
        text = f"{name} is no rotation (R R^T differs from 1 by {error:.2g}, scale {scale:.3g})"
        return [Fault(level, text)]
    if np.linalg.det(rotation) < 0:
        return [Fault("error", f"{name} mirrors (determinant -1)")]
    return []


def check_overlap(
    points: np.ndarray, lidar2cam: np.ndarray, cam2img: np.ndarray, size: tuple[int, int]
) -> tuple[int, list[Fault]]:
    """Whether points fall into the image, and if not, by which matrix they would.

    Args:
        points: ``(N, 3 or more)`` metres, LiDAR frame.
        lidar2cam: ``(4, 4)``.
        cam2img: ``(4, 4)``.
        size: ``(width, height)`` in pixels.

    Returns:
        Number of points in the image, and faults; an empty cloud has none.
    """
    count = count_in_image(points, cam2img @ lidar2cam, size)
    if not len(points) or count >= min(_FEW_POINTS, len(points)):
        return count, []
    fault = f"{count} of {len(points)} points fall into the image"
    for kind, turned in _turned(lidar2cam):
        other = count_in_image(points, cam2img @ turned, size)
        if other > max(_CLEARLY_MORE * count, min(_FEW_POINTS, len(points) // 20)):
            return count, [Fault("error", f"{fault}, but {other} if it is {kind}")]
    level = "warning" if count else "error"
    return count, [Fault(level, f"{fault}; does the calibration belong to it?")]


def count_in_image(points: np.ndarray, lidar2img: np.ndarray, size: tuple[float, float]) -> int:
    """How many points a camera sees.

    Args:
        points: ``(N, 3 or more)`` metres.
        lidar2img: ``(3, 4)`` or ``(4, 4)`` from their frame to pixels.
        size: ``(width, height)`` in pixels.
    """
    pixels, depth = project_points(points[:, :3], lidar2img)
    return int(in_view(pixels, depth, size[1], size[0]).sum())


def check_cloud(points: np.ndarray, with_reflectance: bool = False) -> list[Fault]:
    """Whether the numbers of a cloud have the axes and units that KITTI's have.

    Args:
        points: ``(N, 3 or more)``.
        with_reflectance: Whether the fourth number is a reflectance from 0 to 1.
    """
    if not len(points):
        return []
    faults, farthest = [], float(np.abs(points[:, :3]).max())
    if farthest > _REACH_M:
        fault = f"a coordinate is {farthest:.0f}; coordinates are metres"
        faults.append(Fault("warning", fault))
    spread = points[:, :3].std(axis=0)
    flat = int(spread.argmin())
    if len(points) >= _FEW_POINTS and spread[2] > _CLEARLY_MORE * spread[flat]:
        fault = f"the cloud is flat along {'xyz'[flat]}; it should be along z, which points up"
        faults.append(Fault("warning", fault))
    if with_reflectance and points.shape[1] > 3:
        low, high = float(points[:, 3].min()), float(points[:, 3].max())
        if low < 0 or high > 1:
            fault = f"reflectance spans {low:.3g} to {high:.3g}; KITTI's is 0 to 1"
            faults.append(Fault("warning", fault))
    return faults


def check_boxes(centers: np.ndarray, points: np.ndarray) -> list[Fault]:
    """Whether boxes lie where the cloud is.

    Args:
        centers: ``(G, 3)`` in the cloud's frame, metres.
        points: ``(N, 3 or more)``.

    Returns:
        A warning where most of them do not.
    """
    if not len(centers) or not len(points):
        return []
    low, high = points[:, :3].min(axis=0) - _MARGIN_M, points[:, :3].max(axis=0) + _MARGIN_M
    outside = int(((centers < low) | (centers > high)).any(axis=1).sum())
    if 2 * outside <= len(centers):
        return []
    return [Fault("warning", f"{outside} of {len(centers)} boxes lie outside the cloud")]


def _of_pose(lidar2cam: np.ndarray) -> Iterator[Fault]:
    if lidar2cam.shape == (4, 4) and np.abs(lidar2cam[3] - [0, 0, 0, 1]).max() > _ROUNDED:
        row = " ".join(f"{value:.6g}" for value in lidar2cam[3])
        is_turned = np.abs(lidar2cam[:, 3] - [0, 0, 0, 1]).max() <= _ROUNDED
        hint = "; it looks transposed" if is_turned else ""
        yield Fault("error", f"lidar2cam: its last row is {row}, expected 0 0 0 1{hint}")
        return
    yield from check_rotation(lidar2cam[:3, :3], "lidar2cam")
    # The image's down is the LiDAR's -z, but for cameras that lie on their side.
    if lidar2cam[1, 2] > -_UPRIGHT / 2 and lidar2cam[2, 1] < -_UPRIGHT:
        hint = "it looks like camera-to-LiDAR, or transposed in its rotation"
        yield Fault("error", f"lidar2cam: down in the image is not down in the cloud; {hint}")
    distance = float(np.linalg.norm(lidar2cam[:3, 3]))
    if distance > _FAR_APART_M:
        hint = "; millimetres?" if distance > _MILLIMETRES_M else ""
        text = f"lidar2cam: the sensors are {distance:.4g} m from each other{hint}"
        yield Fault("error" if distance > _MILLIMETRES_M else "warning", text)


def _of_camera(cam2img: np.ndarray) -> Iterator[Fault]:
    focal, center = np.diag(cam2img)[:2], cam2img[:2, 2]
    if not np.any(center) and np.any(cam2img[2, :2]):
        yield Fault("error", "cam2img: its last row holds the centre; it looks transposed")
    elif np.abs(cam2img[2, :3] - [0, 0, 1]).max() > _ROUNDED:
        row = " ".join(f"{value:.6g}" for value in cam2img[2, :3])
        yield Fault("warning", f"cam2img: its last row is {row}, expected 0 0 1")
    elif (focal <= 0).any():
        text = f"cam2img: focal lengths are {focal[0]:.6g} and {focal[1]:.6g} px"
        yield Fault("warning", text)


def _turned(lidar2cam: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The matrices that it may have been taken for, with what it would be then."""
    rotation = lidar2cam[:3, :3]
    if np.linalg.matrix_rank(rotation) == 3:
        yield "camera-to-LiDAR (invert it)", np.linalg.inv(lidar2cam)
    turned = lidar2cam.copy()
    turned[:3, :3] = rotation.T
    yield "transposed in its rotation", turned
    if np.abs(lidar2cam[:3, 3]).max() > 1:
        scaled = lidar2cam.copy()
        scaled[:3, 3] /= 1000
        yield "in millimetres", scaled

"""What an annotator would write about a scene: KITTI objects with truncation and occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gemini_det3d.formats.kitti import Calibration, Objects, from_lidar_boxes
from gemini_det3d.geometry.boxes import project_boxes
from gemini_det3d.worlds.camera import Camera
from gemini_det3d.worlds.raycast import cast_rays
from gemini_det3d.worlds.scene import Scene

# Samples per axis inside a 2D box that decide how much of a thing is visible.
_GRID = 40


@dataclass(frozen=True)
class Rules:
    """When a thing is labelled, and how well it is seen.

    Attributes:
        min_height_px: Lower 2D boxes become ``DontCare``.
        min_visible: Things of which a smaller share is visible become ``DontCare``.
        max_truncation: Things that leave the image by more become ``DontCare``.
        occlusion: Visible shares from which occlusion is level 0, 1 and 2; below it is 3.
    """

    min_height_px: float = 25.0
    min_visible: float = 0.12
    max_truncation: float = 0.85
    occlusion: tuple[float, float, float] = (0.8, 0.45, 0.2)


def annotate(
    scene: Scene, camera: Camera, calibration: Calibration, lidar_height_m: float, rules: Rules
) -> Objects:
    """Label the things that the image shows.

    Args:
        scene: The scene.
        camera: The camera that took the image.
        calibration: Its calibration, which ``camera`` must agree with.
        lidar_height_m: Height of the LiDAR frame's origin over the world's.
        rules: What is labelled.

    Returns:
        Labelled things, then ``DontCare`` regions. Decoys and things outside the image have no
        line.
    """
    index = np.flatnonzero(scene.is_labeled)
    boxes = scene.boxes[index] - [0, 0, lidar_height_m, 0, 0, 0, 0]
    names = [scene.names[i] for i in index]
    size = (camera.width, camera.height)
    objects = from_lidar_boxes(boxes, names, None, calibration, size)
    objects.truncated = truncation(boxes, calibration.lidar2img, objects.bbox)
    share = np.array([visible_share(scene, camera, i, b) for i, b in zip(index, objects.bbox)])
    objects.occluded = occlusion_level(share, rules)
    extent = objects.bbox[:, 2:] - objects.bbox[:, :2]
    in_image = (extent >= 1.0).all(axis=1)
    clear = (
        (extent[:, 1] >= rules.min_height_px)
        & (share >= rules.min_visible)
        & (objects.truncated <= rules.max_truncation)
    )
    return _concatenate(
        objects.select(in_image & clear), _dont_care(objects.select(in_image & ~clear))
    )


def truncation(boxes: np.ndarray, lidar2img: np.ndarray, clipped: np.ndarray) -> np.ndarray:
    """Share of each projected box that lies outside the image, by area.

    Args:
        boxes: ``(N, 7)`` in the LiDAR frame.
        lidar2img: ``(4, 4)``.
        clipped: ``(N, 4)`` their 2D boxes within the image, pixels.

    Returns:
        ``(N,)`` 0 to 1; 1 behind the camera.
    """
    result = np.ones(len(boxes))
    lines, visible = project_boxes(boxes, lidar2img)
    for i in range(len(boxes)):
        pixels = lines[i][visible[i]].reshape(-1, 2)
        if len(pixels):
            full = np.prod(pixels.max(axis=0) - pixels.min(axis=0))
            result[i] = 1.0 - np.prod(clipped[i, 2:] - clipped[i, :2]) / full
    return np.clip(result, 0.0, 1.0)


def visible_share(scene: Scene, camera: Camera, thing: int, bbox: np.ndarray) -> float:
    """Share of a thing that the image shows, of what it would show if nothing else were there.

    Args:
        scene: The scene.
        camera: The camera.
        thing: Index of the thing.
        bbox: ``(4,)`` its 2D box within the image.

    Returns:
        0 to 1; 0 when none of it reaches the image.
    """
    step = (np.arange(_GRID) + 0.5) / _GRID
    x, y = bbox[0] + step * (bbox[2] - bbox[0]), bbox[1] + step * (bbox[3] - bbox[1])
    rays = camera.rays(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))
    alone = cast_rays(scene.solids.groups([thing]), camera.center, rays)
    rays = rays[alone.found]
    if not len(rays):
        return 0.0
    seen = cast_rays(scene.solids, camera.center, rays)
    return float((scene.instance_of(seen.solid) == thing).mean())


def occlusion_level(share: np.ndarray, rules: Rules) -> np.ndarray:
    """KITTI's occlusion level of visible shares.

    Args:
        share: ``(N,)`` 0 to 1.
        rules: Holds the limits.

    Returns:
        ``(N,)`` 0 fully visible, 1 partly, 2 largely occluded, 3 hardly to be made out.
    """
    return (np.asarray(share)[:, None] < np.array(rules.occlusion)).sum(axis=1)


def _dont_care(objects: Objects) -> Objects:
    """The same regions in KITTI's way of writing "do not count what is found here"."""
    count = len(objects)
    return Objects(
        name=np.full(count, "DontCare"),
        truncated=np.full(count, -1.0),
        occluded=np.full(count, -1),
        alpha=np.full(count, -10.0),
        bbox=objects.bbox,
        dimensions=np.full((count, 3), -1.0),
        location=np.full((count, 3), -1000.0),
        rotation_y=np.full(count, -10.0),
    )


def _concatenate(first: Objects, second: Objects) -> Objects:
    columns = [name for name in vars(first) if name != "score"]
    return Objects(**{n: np.concatenate([getattr(first, n), getattr(second, n)]) for n in columns})

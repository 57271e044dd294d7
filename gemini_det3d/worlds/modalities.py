"""What four sensors make of one scene: images of three channels, aligned pixel by pixel.

All maps are ``(H, W, 3)`` uint8. Depth is given as a grey image or as HHA (Gupta et al., ECCV
2014: horizontal disparity, height, angle with gravity), events by sign, LiDAR as splats.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.geometry.boxes import in_view, project_points
from gemini_det3d.worlds.camera import Camera, Surfaces

# Depth of the nearest thing that HHA's disparity tells apart, and the height that is white.
_NEAREST_M, _HIGHEST_M = 3.0, 12.0


def measure_depth(
    surfaces: Surfaces, range_m: float, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Depth as a stereo camera sees it: coarser with distance, nothing beyond its range.

    Args:
        surfaces: The truth.
        range_m: Farther surfaces and the sky give 0.
        noise: Standard deviation at the end of the range, metres; it grows with the square.
        rng: Draws it.

    Returns:
        ``(H, W)`` metres; 0 where nothing was measured.
    """
    seen = surfaces.depth < range_m
    depth = np.where(seen, surfaces.depth, 0.0)
    error = noise * (depth / range_m) ** 2 * rng.standard_normal(depth.shape)
    return np.where(seen, np.maximum(depth + error, 0.1), 0.0)


def depth_image(depth: np.ndarray, range_m: float) -> np.ndarray:
    """Grey, near is dark; 0 stays 0."""
    grey = np.where(depth > 0, 1 + 254 * depth / range_m, 0)
    return _bytes(np.repeat(grey[..., None], 3, axis=2))


def hha_image(depth: np.ndarray, surfaces: Surfaces, camera: Camera) -> np.ndarray:
    """Disparity, height above the ground, angle between the surface and gravity."""
    rays = camera.rays(camera.pixel_grid()).reshape(*depth.shape, 3)
    height = camera.center[2] + depth * rays[..., 2]
    disparity = np.where(depth > 0, _NEAREST_M / np.maximum(depth, _NEAREST_M), 0)
    upright = np.arccos(np.clip(surfaces.normal[..., 2], -1, 1)) / np.pi
    seen = depth > 0
    channels = (disparity, np.clip(height / _HIGHEST_M, 0, 1) * seen, upright * seen)
    return _bytes(255 * np.stack(channels, axis=-1))


def event_image(before: np.ndarray, after: np.ndarray, threshold: float) -> np.ndarray:
    """Events between two moments: brighter is red, darker is blue.

    Args:
        before: ``(H, W, 3)`` uint8 image.
        after: The same a moment later.
        threshold: Change of the logarithm of brightness that makes one event.

    Returns:
        The more events, the stronger; 85 for one, 255 for three and more.
    """
    change = np.log1p(after.mean(axis=2)) - np.log1p(before.mean(axis=2))
    counts = np.trunc(change / threshold)
    strength = [85 * np.clip(sign * counts, 0, 3) for sign in (1, 0, -1)]
    return _bytes(np.stack(strength, axis=-1))


def lidar_image(
    points: np.ndarray, lidar2img: np.ndarray, camera: Camera, range_m: float
) -> np.ndarray:
    """Points on the image: nearness, intensity, height; the nearest one wins a pixel.

    Args:
        points: ``(N, 4)`` x, y, z in the LiDAR's frame (metres) and intensity.
        lidar2img: ``(4, 4)``.
        camera: Its size in pixels.
        range_m: Of the LiDAR.

    Returns:
        The image; black where no point falls.
    """
    image = np.zeros((camera.height, camera.width, 3))
    pixels, depth = project_points(points[:, :3], lidar2img)
    pixels = pixels + 0.5  # the camera counts from the centres of pixels
    seen = in_view(pixels, depth, camera.height, camera.width)
    column, row = np.floor(pixels[seen]).astype(int).T
    values = np.column_stack(
        [
            1 - 0.8 * np.clip(depth / range_m, 0, 1),
            0.1 + 0.9 * points[:, 3],
            np.clip((points[:, 2] + 2) / 6, 0, 1),
        ]
    )[seen]
    order = np.argsort(-depth[seen], kind="stable")  # the nearest is written last
    image[row[order], column[order]] = values[order]
    return _bytes(255 * image)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.round(np.clip(values, 0, 255)).astype(np.uint8)

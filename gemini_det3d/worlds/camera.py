"""A pinhole camera: one projection matrix decides every pixel of every rendering.

Pixel (u, v) is the centre of column u and row v, as KITTI's matrices have it. What rays hit is
found once; colour, depth, normals, instances and labels are read off the same hits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gemini_det3d.worlds.materials import to_srgb
from gemini_det3d.worlds.raycast import cast_rays
from gemini_det3d.worlds.scene import Scene
from gemini_det3d.worlds.shading import shade

# Few enough that the arrays of one step stay in the processor's cache.
_RAYS_AT_ONCE = 12_288
# How fast the sensor saturates with light.
_EXPOSURE = 1.15
# Difference of sRGB values from which a pixel is worth more rays.
_EDGE = 0.06


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        world2img: ``(3, 4)``; world points -> pixel x depth, pixel y x depth, depth.
        width: Pixels.
        height: Pixels.
        supersample: Rays per pixel and axis where the colour image has edges; 1 leaves them jagged.
        noise: Standard deviation of the colour image's noise, in shares of full white.
    """

    world2img: np.ndarray
    width: int
    height: int
    supersample: int = 1
    noise: float = 0.0

    @property
    def center(self) -> np.ndarray:
        """``(3,)`` the point that all rays leave from, world."""
        return -np.linalg.solve(self.world2img[:, :3], self.world2img[:, 3])

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Directions through pixels, as long as one metre of depth.

        Args:
            pixels: ``(N, 2)`` x, y.

        Returns:
            ``(N, 3)`` world; distance along them is the depth that ``world2img`` gives.
        """
        inverse = np.linalg.inv(self.world2img[:, :3])
        # Not a BLAS product: its rounding may depend on the number of threads.
        return pixels[:, :1] * inverse[:, 0] + pixels[:, 1:] * inverse[:, 1] + inverse[:, 2]

    def pixel_grid(self) -> np.ndarray:
        """Centres of all pixels, row by row.

        Returns:
            ``(H W, 2)`` x, y.
        """
        x, y = np.arange(self.width, dtype=np.float64), np.arange(self.height, dtype=np.float64)
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Surfaces:
    """What each pixel's centre sees; maps of ``(H, W)``.

    Attributes:
        depth: float64 metres along the optical axis, infinity for the sky.
        normal: ``(H, W, 3)`` outward unit normals in the world, 0 for the sky.
        solid: int64 index of the solid, -1 for the sky.
        instance: int64 index of the thing, -1 for background and sky.
    """

    depth: np.ndarray
    normal: np.ndarray
    solid: np.ndarray
    instance: np.ndarray


def render_surfaces(scene: Scene, camera: Camera) -> Surfaces:
    """Depth, normals and identities. ``scene.label_of(surfaces.solid, ...)`` gives the labels."""
    hits = cast_rays(scene.solids, camera.center, camera.rays(camera.pixel_grid()))
    size = (camera.height, camera.width)
    solid = hits.solid.reshape(size)
    return Surfaces(
        depth=hits.distance.reshape(size),
        normal=hits.normal.reshape(*size, 3),
        solid=solid,
        instance=scene.instance_of(solid),
    )


def render_image(scene: Scene, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """The colour image: one ray per pixel, and more where neighbours differ.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    size = (camera.height, camera.width)
    pixels = camera.pixel_grid()
    image = _look(scene, camera, pixels, samples=1)
    if camera.supersample > 1:
        rough = np.flatnonzero(_has_edge(image.reshape(*size, 3)))
        image[rough] = _look(scene, camera, pixels[rough], camera.supersample)
    image = image.reshape(*size, 3)
    image = image + camera.noise * rng.standard_normal(image.shape)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _look(scene: Scene, camera: Camera, pixels: np.ndarray, samples: int) -> np.ndarray:
    """``(N, 3)`` sRGB at N pixels, each the mean light of ``samples`` x ``samples`` rays."""
    colors = np.empty((len(pixels), 3))
    offset = (np.arange(samples) + 0.5) / samples - 0.5
    offset = np.stack(np.meshgrid(offset, offset), axis=-1).reshape(-1, 2)
    pixel_angle = np.linalg.norm(np.linalg.inv(camera.world2img[:, :3])[:, 0]) / samples
    step = max(1, _RAYS_AT_ONCE // len(offset))
    for first in range(0, len(pixels), step):
        places = pixels[first : first + step, None] + offset
        directions = camera.rays(places.reshape(-1, 2))
        hits = cast_rays(scene.solids, camera.center, directions)
        light = shade(scene, hits, camera.center, directions, pixel_angle)
        # The sensor saturates before the mean is taken, else one glint would fill a whole pixel.
        exposed = 1.0 - np.exp(-_EXPOSURE * light)
        colors[first : first + step] = to_srgb(exposed.reshape(-1, len(offset), 3).mean(axis=1))
    return colors


def _has_edge(image: np.ndarray) -> np.ndarray:
    """``(H, W)`` bool: pixels that differ visibly from the one beside or below, and those two."""
    rough = np.zeros(image.shape[:2], dtype=np.bool_)
    beside = np.abs(np.diff(image, axis=1)).max(axis=2) > _EDGE
    below = np.abs(np.diff(image, axis=0)).max(axis=2) > _EDGE
    rough[:, 1:] |= beside
    rough[:, :-1] |= beside
    rough[1:] |= below
    rough[:-1] |= below
    return rough

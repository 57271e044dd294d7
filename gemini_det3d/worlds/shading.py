"""Light on surfaces: sun with cast shadows, sky light, highlights, haze, and the sky itself.

Diffuse light after Lambert, highlights after Blinn and Phong, reflection of the sky weighted by
Schlick's approximation of Fresnel's law, haze by exponential extinction. All in linear light.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.worlds.raycast import Hits, is_blocked
from gemini_det3d.worlds.scene import Light, Scene

# Share of the sun that a wholly clouded sky takes away.
_SUN_BEHIND_CLOUD = 0.45


def shade(
    scene: Scene, hits: Hits, origin: np.ndarray, directions: np.ndarray, pixel_angle: float
) -> np.ndarray:
    """Light that reaches the eye along rays.

    Args:
        scene: What is seen.
        hits: Hits of N rays.
        origin: ``(3,)`` the eye, world.
        directions: ``(N, 3)`` of the rays, any length.
        pixel_angle: Angle between neighbouring rays, radians; decides how fine textures are.

    Returns:
        ``(N, 3)`` linear RGB, 0 or more.
    """
    from gemini_det3d.worlds import _shading_kernels

    light = np.empty((len(directions), 3))
    _shading_kernels.shade(
        directions,
        *(hits.distance, hits.solid, hits.normal, hits.local, hits.local_normal),
        _sunlight(scene, hits, origin, directions),
        float(pixel_angle),
        *(scene.solids.material, scene.solids.half_size),
        scene.materials.looks,
        _light_row(scene.light),
        light,
    )
    return light


def _sunlight(scene: Scene, hits: Hits, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """``(N,)`` share of the sun's light at the hits: Lambert's cosine, 0 in the shadow."""
    sun = np.array(scene.light.direction)
    cosine = np.einsum("ni,i->n", hits.normal, sun)
    facing = np.flatnonzero(cosine > 0)  # normals are 0 where nothing is hit
    lit = np.zeros(len(directions))
    points = origin + hits.distance[facing, None] * directions.take(facing, axis=0)
    shadow = is_blocked(scene.solids, points, hits.normal.take(facing, axis=0), sun)
    lit[facing] = np.where(shadow, 0.0, cosine[facing])
    return lit * (1.0 - _SUN_BEHIND_CLOUD * scene.light.clouds)


def _light_row(light: Light) -> np.ndarray:
    """The light as the kernels want it."""
    colors = (*light.sun, *light.sky, *light.horizon)
    return np.array([*light.direction, *colors, light.haze_m, light.clouds], dtype=np.float64)

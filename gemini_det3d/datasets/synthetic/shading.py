"""Light on surfaces: sun with cast shadows, sky light, highlights, haze, and the sky itself.

Diffuse light after Lambert, highlights after Blinn and Phong, reflection of the sky weighted by
Schlick's approximation of Fresnel's law, haze by exponential extinction. All in linear light.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.datasets.synthetic.raycast import Hits, is_blocked, smooth_noise
from gemini_det3d.datasets.synthetic.scene import Light, Scene
from gemini_det3d.datasets.synthetic.textures import surface_colors

# Light that comes from the ground, as a share of the sky's.
_GROUND_SHARE = 0.45
_SHININESS = 250.0
_SUN_BEHIND_CLOUD = 0.45
_CLOUD = np.array([1.7, 1.72, 1.75])


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
    length = np.sqrt(np.einsum("ni,ni->n", directions, directions))
    view = directions / length[:, None]
    found, missed = np.flatnonzero(hits.found), np.flatnonzero(~hits.found)
    light = np.empty((len(view), 3))
    light[missed] = sky_light(scene.light, view.take(missed, axis=0))
    hits = hits.select(found)
    distance_m = hits.distance * length.take(found)
    surface = _shade_surfaces(
        scene, hits, origin, view.take(found, axis=0), distance_m, pixel_angle
    )
    clear = np.exp(-distance_m / scene.light.haze_m)[:, None]
    light[found] = surface * clear + np.array(scene.light.horizon) * (1 - clear)
    return light


def sky_light(light: Light, view: np.ndarray) -> np.ndarray:
    """The sky: pale at the horizon, deeper above, with clouds and the sun's halo.

    Args:
        light: The scene's light.
        view: ``(N, 3)`` unit directions.

    Returns:
        ``(N, 3)`` linear RGB.
    """
    height = np.clip(view[:, 2], 0.0, 1.0)
    horizon, zenith = np.array(light.horizon), np.array(light.sky) * [0.5, 0.85, 1.6]
    color = horizon + (zenith - horizon) * (1 - np.exp(-3.5 * height))[:, None]
    # Clouds lie on a plane overhead, so they shrink towards the horizon.
    plane = view[:, :2] / (height + 0.12)[:, None]
    place = np.concatenate([plane * 1.3, np.zeros((len(view), 1))], axis=1)
    cover = sum(smooth_noise(place * 2.0**k + 7.3 * k) * 0.5**k for k in range(4)) / 1.875
    density = np.clip((cover - 0.75 + 0.5 * light.clouds) * 4, 0, 1) * np.clip(height * 8, 0, 1)
    color += (_CLOUD - color) * (0.9 * density)[:, None]
    halo = np.clip(np.einsum("ni,i->n", view, np.array(light.direction)), 0, 1) ** 200
    return color + halo[:, None] * np.array(light.sun) * 0.6


def _shade_surfaces(
    scene: Scene,
    hits: Hits,
    origin: np.ndarray,
    view: np.ndarray,
    distance_m: np.ndarray,
    pixel_angle: float,
) -> np.ndarray:
    table, normal, sun = scene.materials, hits.normal, np.array(scene.light.direction)
    slant = np.clip(-np.einsum("ni,ni->n", view, normal), 0.05, 1.0)
    # A pixel is stretched on a slanted surface; the mean of both sides is what blurs a texture.
    footprint_m = distance_m * pixel_angle / np.sqrt(slant)
    albedo = surface_colors(scene.solids, table, hits, footprint_m)
    lit = _sunlight(scene, origin + distance_m[:, None] * view, normal)
    up = 0.5 + 0.5 * normal[:, 2:3]
    ambient = np.array(scene.light.sky) * (_GROUND_SHARE + (1 - _GROUND_SHARE) * up)
    color = albedo * (lit[:, None] * np.array(scene.light.sun) + ambient)
    material = scene.solids.material[hits.solid]
    color += albedo * table.glow[material][:, None]
    glossy = np.flatnonzero(table.gloss[material] > 0)
    if len(glossy):
        gloss = table.gloss[material[glossy]][:, None]
        mirrored = view[glossy] + 2 * slant[glossy, None] * normal[glossy]
        fresnel = 0.06 + 0.94 * (1 - slant[glossy, None]) ** 5
        color[glossy] += gloss * fresnel * _surroundings(scene.light, mirrored)
        half = sun - view[glossy]
        half /= np.linalg.norm(half, axis=1, keepdims=True) + 1e-9
        peak = np.clip(np.einsum("ni,ni->n", half, normal[glossy]), 0, 1) ** _SHININESS
        color[glossy] += gloss * (peak * (lit[glossy] > 0))[:, None] * np.array(scene.light.sun)
    return color


def _sunlight(scene: Scene, points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Share of the sun's light at surface points: Lambert's cosine, 0 in the shadow."""
    sun = np.array(scene.light.direction)
    cosine = np.einsum("ni,i->n", normal, sun)
    facing = np.flatnonzero(cosine > 0)
    lit = np.zeros(len(points))
    shadow = is_blocked(
        scene.solids, points.take(facing, axis=0), normal.take(facing, axis=0), sun
    )
    lit[facing] = np.where(shadow, 0.0, cosine[facing])
    return lit * (1.0 - _SUN_BEHIND_CLOUD * scene.light.clouds)


def _surroundings(light: Light, direction: np.ndarray) -> np.ndarray:
    """What a mirror would show, without asking the scene: sky above, dark ground below."""
    sky = np.array(light.horizon) + np.clip(direction[:, 2:3], 0, 1) * (
        np.array(light.sky) * 2 - np.array(light.horizon)
    )
    ground = 0.3 * np.array(light.sky)
    weight = np.clip(direction[:, 2:3] * 6 + 0.5, 0, 1)
    return ground + (sky - ground) * weight

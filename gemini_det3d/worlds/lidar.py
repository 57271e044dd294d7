"""A spinning LiDAR: a fan of beams, turned in steps, each pulse answered by the nearest surface."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gemini_det3d.worlds.raycast import Hits, cast_rays
from gemini_det3d.worlds.scene import Scene

# Elevations of the Velodyne HDL-64E, degrees: 32 beams from +2 down in thirds, then 32 in halves.
_HDL64_DEG = np.concatenate([2.0 - np.arange(32) / 3.0, -8.83 - np.arange(32) / 2.0])


@dataclass(frozen=True)
class Scanner:
    """A LiDAR at (0, 0, ``height_m``), upright, x to the front.

    Attributes:
        height_m: Above the ground.
        num_beams: 64 for the elevations of the HDL-64E; other counts are spread evenly over them.
        num_azimuths: Steps over the field.
        field_deg: Field of view, centred on the front; 360 is the whole turn.
        range_m: Surfaces from here on give no return.
        noise_m: Standard deviation of the range.
        dropout: Share of pulses lost anyway; materials, grazing angles and range add to it.
    """

    height_m: float = 1.73
    num_beams: int = 64
    num_azimuths: int = 500
    field_deg: float = 90.0
    range_m: float = 50.0
    noise_m: float = 0.015
    dropout: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what cannot be scanned with."""
        for name in ("num_beams", "num_azimuths", "field_deg", "range_m"):
            if not 0 < getattr(self, name) < math.inf:  # NaN is neither
                raise ValueError(f"{name}={getattr(self, name)} must be positive")
        if self.field_deg > 360:  # what lies behind would be seen twice
            raise ValueError(f"field_deg={self.field_deg} must be 360 or less")
        if not 0 <= self.noise_m < math.inf or not 0 <= self.dropout < 1:
            raise ValueError(f"noise_m={self.noise_m}, dropout={self.dropout} are out of range")

    def directions(self) -> np.ndarray:
        """Unit directions of all pulses, beam by beam from the top, each from left to right.

        Returns:
            ``(num_beams x num_azimuths, 3)``.
        """
        steps = np.linspace(0, len(_HDL64_DEG) - 1, self.num_beams)
        elevation = np.radians(np.interp(steps, np.arange(len(_HDL64_DEG)), _HDL64_DEG))
        step = (np.arange(self.num_azimuths) + 0.5) / self.num_azimuths
        azimuth = np.radians(self.field_deg) * (0.5 - step)
        elevation, azimuth = np.meshgrid(elevation, azimuth, indexing="ij")
        level = np.cos(elevation)
        return np.stack(
            [level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=-1
        ).reshape(-1, 3)


@dataclass(frozen=True)
class Sweep:
    """One turn of the scanner.

    Attributes:
        points: ``(N, 4)`` float32 x, y, z in metres in the LiDAR's frame, and intensity 0 to 1.
        solid: ``(N,)`` int64 solid that sent the pulse back.
    """

    points: np.ndarray
    solid: np.ndarray


def scan(scene: Scene, scanner: Scanner, rng: np.random.Generator) -> Sweep:
    """Scan a scene.

    Args:
        scene: What is scanned.
        scanner: With what.
        rng: Draws noise and drop-out, the same number of values for any scene.

    Returns:
        The returns, in the order of ``scanner.directions()``.
    """
    directions = scanner.directions()
    origin = np.array([0.0, 0.0, scanner.height_m])
    hits = cast_rays(scene.solids, origin, directions, scanner.range_m)
    range_noise, shine_noise = rng.standard_normal((2, len(directions)))
    chance = rng.random(len(directions))
    kept = np.flatnonzero(hits.found)
    kept = kept[chance[kept] >= _loss(scene, scanner, hits.select(kept), directions[kept])]
    hits, directions = hits.select(kept), directions[kept]
    measured = hits.distance + scanner.noise_m * range_noise[kept]
    intensity = _intensity(scene, hits, directions) + 0.02 * shine_noise[kept]
    # KITTI stores two decimals.
    intensity = np.round(np.clip(intensity, 0.0, 0.99), 2)
    points = np.column_stack([measured[:, None] * directions, intensity])
    return Sweep(points=points.astype(np.float32), solid=hits.solid)


def _loss(scene: Scene, scanner: Scanner, hits: Hits, directions: np.ndarray) -> np.ndarray:
    """Chance that a pulse is lost: by itself, by the material, at grazing angles far away."""
    material = scene.materials.dropout[scene.solids.material[hits.solid]]
    share = hits.distance / scanner.range_m
    grazing = (1.0 - _cosine(hits, directions)) ** 4
    kept = (1 - scanner.dropout) * (1 - material) * (1 - 0.5 * grazing * share)
    return 1.0 - kept * (1 - 0.15 * share**2)


def _intensity(scene: Scene, hits: Hits, directions: np.ndarray) -> np.ndarray:
    reflectance = scene.materials.reflectance[scene.solids.material[hits.solid]]
    return reflectance * (0.35 + 0.65 * _cosine(hits, directions))


def _cosine(hits: Hits, directions: np.ndarray) -> np.ndarray:
    return np.clip(-np.einsum("ni,ni->n", directions, hits.normal), 0.0, 1.0)

"""Weather between a LiDAR and the world. Points ``(N, C)`` float32, x, y, z in metres first."""

from __future__ import annotations

import numpy as np

from gemini_det3d.corruptions.base import corruptions_of


def fog(points: np.ndarray, extinction: float, rng: np.random.Generator) -> np.ndarray:
    """Two-way extinction ``exp(-2 a r)`` loses returns; fog itself answers in place of some."""
    return _scattered(points, 1 - np.exp(-2 * extinction * _range(points)), 0.35, 6.0, 0.0, rng)


def rain(points: np.ndarray, extinction: float, rng: np.random.Generator) -> np.ndarray:
    """As fog, with fewer answers of drops, farther out, and ranges that waver with the rate."""
    lost = 1 - np.exp(-2 * extinction * _range(points))
    return _scattered(points, lost, 0.15, 12.0, 4 * extinction, rng)


def snow(points: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Flakes answer in place of what lies behind them, for a share of the beams at 20 m."""
    lost = share * np.clip(_range(points) / 20, 0.3, 1.5)
    return _scattered(points, lost, 0.7, 8.0, 0.0, rng)


def wet_ground(points: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Water mirrors the beam away: returns of the ground are lost, more of them far away."""
    draws = rng.random(len(points))
    if not len(points):
        return points.copy()
    low = points[:, 2] < np.quantile(points[:, 2], 0.02) + 0.5
    lost = low & (draws < share * np.clip(_range(points) / 15, 0.4, 1.0))
    return points[~lost]


def _range(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, :3], axis=1)


def _scattered(
    points: np.ndarray,
    lost: np.ndarray,
    answered: float,
    typical_m: float,
    waver_m: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Lose points with their chances; a share of the lost ones answers from nearer by.

    Args:
        points: ``(N, C)``.
        lost: ``(N,)`` chance of each point to be lost.
        answered: Share of the lost beams that hit something on their way.
        typical_m: Mean distance of such a hit.
        waver_m: Deviation of the others' range.
        rng: Draws four numbers a point.
    """
    chance, answer = rng.random((2, len(points)))
    nearer, waver = rng.exponential(typical_m, len(points)), rng.standard_normal(len(points))
    distance = np.maximum(_range(points), 1e-6)
    is_lost = chance < lost
    is_hit = is_lost & (answer < answered) & (nearer < distance)
    scale = np.where(is_hit, nearer, distance + waver_m * waver) / distance
    changed = points.copy()
    changed[:, :3] *= np.maximum(scale, 0.0)[:, None].astype(points.dtype)
    if points.shape[1] > 3:
        changed[is_hit, 3] *= 0.3  # little comes back
    return changed[~is_lost | is_hit]


CORRUPTIONS = corruptions_of(
    "LiDAR weather",
    "lidar",
    ("lidar_fog", fog, (0.006, 0.014, 0.028, 0.05, 0.09), "extinction, 1/m"),
    ("lidar_rain", rain, (0.002, 0.005, 0.01, 0.018, 0.03), "extinction, 1/m"),
    ("lidar_snow", snow, (0.06, 0.14, 0.25, 0.4, 0.6), "share of beams"),
    ("wet_ground", wet_ground, (0.2, 0.4, 0.6, 0.8, 1.0), "share of ground"),
)

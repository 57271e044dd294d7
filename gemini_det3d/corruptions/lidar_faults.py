"""A LiDAR that fails in part. Points ``(N, C)`` float32, x, y, z in metres first."""

from __future__ import annotations

import numpy as np

from gemini_det3d.corruptions.base import corruptions_of

_RINGS = 64
_SWEEP_S = 0.1
# A gap in the directions that is wider belongs to a cloud that looks one way.
_GAP_RAD = np.pi / 2
# Of a hole's radius: outdoors metres, in a room a share of its longer side.
_HOLE_M, _HOLE_SHARE = 3.0, 0.2

# Those that move points or dim them, and neither lose nor add one.
KEEPS_EVERY_POINT = frozenset(
    {
        "crosstalk",
        "gaussian_jitter",
        "uniform_jitter",
        "range_noise",
        "motion_distortion",
        "faded_intensity",
    }
)


def lost_beams(points: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of 64 beams, told apart by their elevation, does not answer."""
    order = rng.permutation(_RINGS)
    if not len(points):
        return points.copy()
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    low, high = np.quantile(elevation, (0.002, 0.998))
    ring = np.clip((elevation - low) / max(high - low, 1e-6) * _RINGS, 0, _RINGS - 1).astype(int)
    return points[order[ring] >= round(share * _RINGS)]


def narrow_view(points: np.ndarray, kept: float, rng: np.random.Generator) -> np.ndarray:
    """Of the angle that the cloud spans, only the share around its middle is seen."""
    if not len(points):
        return points.copy()
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    around = np.sort(azimuth)
    widest = np.diff(around).argmax() if len(around) > 1 else 0
    behind = around[widest : widest + 2]
    is_cut = np.ptp(behind) > max(_GAP_RAD, 2 * np.pi - np.ptp(azimuth))
    if is_cut:  # the cloud straddles the half turn, where angles jump
        azimuth = np.where(azimuth > behind[0], azimuth - 2 * np.pi, azimuth)
    low, high = azimuth.min(), azimuth.max()
    return points[np.abs(azimuth - (low + high) / 2) <= kept * (high - low) / 2]


def sparse(points: np.ndarray, lost: float, rng: np.random.Generator) -> np.ndarray:
    """A share of the points is lost, anywhere."""
    return points[rng.random(len(points)) >= lost]


def cutout(points: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Holes around points, of 3 m radius, in a room of less."""
    centers = points[rng.permutation(len(points))[:number], :3]
    kept = np.ones(len(points), bool)
    if not len(points):
        return points.copy()
    radius = min(_HOLE_M, _HOLE_SHARE * np.ptp(points[:, :2], axis=0).max())
    for center in centers:
        kept &= ((points[:, :3] - center) ** 2).sum(1) > radius**2
    return points[kept]


def lost_echoes(points: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Dark surfaces do not answer: the weakest share is lost (at random without intensities)."""
    drawn = rng.random(len(points))
    intensity = points[:, 3] if points.shape[1] > 3 else np.zeros(len(points))
    order = np.lexsort([drawn, intensity])  # equal intensities in any order
    return points[np.sort(order[round(share * len(points)) :])]


def crosstalk(points: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Another LiDAR's pulses: a share of the points has a range that is drawn."""
    chance, drawn = rng.random((2, len(points)))
    distance = np.maximum(np.linalg.norm(points[:, :3], axis=1), 1e-6)
    scale = np.where(chance < share, (1 + 59 * drawn) / distance, 1.0)
    return _with_positions(points, points[:, :3] * scale[:, None])


def ghost_points(points: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Points that are not there, anywhere in the box around the cloud."""
    drawn = rng.random((len(points), points.shape[1]))
    if not len(points):
        return points.copy()
    low, high = points.min(0), points.max(0)
    added = (low + drawn * (high - low)).astype(points.dtype)
    return np.concatenate([points, added[: round(share * len(points))]])


def gaussian_jitter(points: np.ndarray, sigma_m: float, rng: np.random.Generator) -> np.ndarray:
    """Every coordinate wavers."""
    return _with_positions(points, points[:, :3] + sigma_m * rng.standard_normal((len(points), 3)))


def uniform_jitter(points: np.ndarray, reach_m: float, rng: np.random.Generator) -> np.ndarray:
    """Every coordinate is off by up to `reach_m`, evenly."""
    return _with_positions(points, points[:, :3] + rng.uniform(-1, 1, (len(points), 3)) * reach_m)


def range_noise(points: np.ndarray, sigma_m: float, rng: np.random.Generator) -> np.ndarray:
    """The distance wavers, the direction does not."""
    distance = np.maximum(np.linalg.norm(points[:, :3], axis=1), 1e-6)
    scale = np.maximum(1 + sigma_m * rng.standard_normal(len(points)) / distance, 0)
    return _with_positions(points, points[:, :3] * scale[:, None])


def motion_distortion(points: np.ndarray, speed_mps: float, rng: np.random.Generator) -> np.ndarray:
    """The car drives during a sweep of 0.1 s, and nobody takes it out."""
    phase = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi)
    moved = points[:, :3].astype(np.float64)
    moved[:, 0] += speed_mps * _SWEEP_S * phase
    return _with_positions(points, moved)


def faded_intensity(points: np.ndarray, kept: float, rng: np.random.Generator) -> np.ndarray:
    """A dirty window: intensities fall, where there are any."""
    changed = points.copy()
    changed[:, 3:4] *= kept
    return changed


def _with_positions(points: np.ndarray, positions: np.ndarray) -> np.ndarray:
    changed = points.copy()
    changed[:, :3] = positions
    return changed


_METRES = (0.03, 0.06, 0.12, 0.2, 0.35)
CORRUPTIONS = (
    *corruptions_of(
        "LiDAR loss",
        "lidar",
        ("lost_beams", lost_beams, (0.25, 0.45, 0.625, 0.75, 0.875), "of 64"),
        ("narrow_view", narrow_view, (0.9, 0.75, 0.6, 0.45, 0.3), "angle kept"),
        ("sparse", sparse, (0.3, 0.5, 0.7, 0.85, 0.95), "share lost"),
        ("cutout", cutout, (3, 7, 13, 22, 35), "holes"),
        ("lost_echoes", lost_echoes, (0.1, 0.2, 0.35, 0.5, 0.7), "share lost"),
    ),
    *corruptions_of(
        "LiDAR error",
        "lidar",
        ("crosstalk", crosstalk, (0.02, 0.05, 0.1, 0.18, 0.3), "share"),
        ("ghost_points", ghost_points, (0.02, 0.06, 0.12, 0.25, 0.45), "share"),
        ("gaussian_jitter", gaussian_jitter, _METRES, "m"),
        ("uniform_jitter", uniform_jitter, (0.05, 0.1, 0.2, 0.35, 0.6), "m"),
        ("range_noise", range_noise, (0.05, 0.1, 0.2, 0.4, 0.7), "m"),
        ("motion_distortion", motion_distortion, (5, 10, 18, 28, 40), "m/s"),
        ("faded_intensity", faded_intensity, (0.7, 0.5, 0.3, 0.15, 0.0), "kept"),
    ),
)

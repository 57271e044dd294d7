"""Calibration that is off, sensors that are gone, and noise on every modality of aligned images."""

from __future__ import annotations

import numpy as np

from gemini_det3d.corruptions.base import corruptions_of
from gemini_det3d.corruptions.camera_noise import impulse_noise

_SPEED_MPS = 10.0


def turned(_: None, angle_deg: float, rng: np.random.Generator) -> np.ndarray:
    """The camera has turned by `angle_deg` about an axis that is drawn (Rodrigues)."""
    axis = rng.standard_normal(3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = np.deg2rad(angle_deg)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    movement = np.eye(4)
    movement[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return movement


def moved(_: None, distance_m: float, rng: np.random.Generator) -> np.ndarray:
    """The camera has moved by `distance_m` in a direction that is drawn."""
    direction = rng.standard_normal(3)
    movement = np.eye(4)
    movement[:3, 3] = distance_m * direction / np.linalg.norm(direction)
    return movement


def late(_: None, delay_s: float, rng: np.random.Generator) -> np.ndarray:
    """The camera looked later than the LiDAR: at 10 m/s everything has come nearer (x forward)."""
    movement = np.eye(4)
    movement[0, 3] = -_SPEED_MPS * delay_s
    return movement


def gone(number: int, chance: float, rng: np.random.Generator) -> np.ndarray:
    """All of `number` sensors of a frame are gone, with a chance a frame: ``(number,)`` bool."""
    return np.full(number, rng.random() >= chance)


def some_gone(number: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of `number` sensors, rounded up, is gone; one stays: ``(number,)`` bool."""
    order = rng.permutation(number)
    return order >= min(int(np.ceil(share * number)), number - 1)


def dropped_values(image: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """RMM: every value of every pixel is dropped by itself; `rate` is what is dropped."""
    return np.where(rng.random(image.shape, dtype=np.float32) < rate, 0, image)


def noise_and_impulses(
    image: np.ndarray, level: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """NM as its paper has it: Gaussian noise and impulses; its released code has impulses alone."""
    sigma, share = level
    noisy = image + 255 * sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return impulse_noise(noisy, share, rng)


_MIXED = ((0.04, 0.005), (0.08, 0.01), (0.16, 0.05), (0.24, 0.1), (0.32, 0.15))
_CHANCE = (0.2, 0.4, 0.6, 0.8, 1.0)
CORRUPTIONS = (
    *corruptions_of(
        "alignment",
        "calibration",
        ("camera_turned", turned, (0.5, 1.0, 2.0, 3.5, 6.0), "degrees"),
        ("camera_moved", moved, (0.05, 0.1, 0.2, 0.4, 0.8), "m"),
        ("camera_late", late, (0.02, 0.05, 0.1, 0.2, 0.4), "s"),
    ),
    *corruptions_of(
        "sensor gone",
        "presence",
        ("camera_gone", gone, _CHANCE, "of frames"),
        ("lidar_gone", gone, _CHANCE, "of frames"),
        ("views_gone", some_gone, (0.1, 0.3, 0.5, 0.7, 0.9), "of cameras"),
    ),
    *corruptions_of(
        "RGB-X",
        "modalities",
        ("dropped_values", dropped_values, (0.1, 0.25, 0.5, 0.75, 0.9), "rate"),
        ("salt_and_pepper", impulse_noise, (0.005, 0.01, 0.05, 0.1, 0.15), "share"),
        ("noise_and_impulses", noise_and_impulses, _MIXED, "of 255, share"),
    ),
)

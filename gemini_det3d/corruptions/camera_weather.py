"""Weather and dirt in front of a camera. Images ``(H, W, 3)`` float32 RGB in 0 to 255."""

from __future__ import annotations

import cv2
import numpy as np

from gemini_det3d.corruptions.base import corruptions_of
from gemini_det3d.corruptions.fields import disk, pixels, ranked, road_depth, smooth_field


def fog(image: np.ndarray, thickness: float, rng: np.random.Generator) -> np.ndarray:
    """Airlight after Koschmieder, ``I t + A (1 - t)``, ``t = exp(-thickness depth)``."""
    density = 0.75 + 0.5 * smooth_field(image.shape[:2], rng)
    passed = np.exp(-thickness * road_depth(image.shape[:2]) * density)[..., None]
    return image * passed + 205 * (1 - passed)


def rain(image: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Bright slanted streaks under a darker sky; `level` streaks for a square of the height."""
    height, width = image.shape[:2]
    most = int(900 * width / height)
    starts = rng.random((most, 2)) * (width, height)
    lengths = pixels(25 + 60 * rng.random(most), image)
    slant = rng.uniform(-0.3, 0.3)
    streaks = np.zeros((height, width), np.float32)
    for (x, y), length in list(zip(starts, lengths))[: int(level * width / height)]:
        end = (round(x + slant * length), round(y + length))
        cv2.line(streaks, (round(x), round(y)), end, 1.0, 1, cv2.LINE_AA)
    wet = image * (1 - 0.35 * level / 900)
    return wet + (235 - wet) * 0.55 * streaks[..., None]


def snow(image: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Flakes of several sizes over a paler picture; `level` flakes for a square of the height."""
    height, width = image.shape[:2]
    most = int(1500 * width / height)
    places = rng.random((most, 2)) * (width, height)
    radii = np.maximum(pixels(1 + 6 * rng.random(most) ** 3, image), 0.6)
    flakes = np.zeros((height, width), np.float32)
    for (x, y), radius in list(zip(places, radii))[: int(level * width / height)]:
        center = (round(x * 16), round(y * 16))
        cv2.circle(flakes, center, round(radius * 16), 1.0, -1, cv2.LINE_AA, shift=4)
    flakes = cv2.GaussianBlur(flakes, (0, 0), 0.7)[..., None]
    pale = image + (200 - image) * 0.3 * level / 1500
    return pale + (250 - pale) * 0.9 * np.clip(flakes, 0, 1)


def sun_glare(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A low sun: a bright disk with a wide halo in the upper half; `strength` of its halo."""
    height, width = image.shape[:2]
    x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.1, 0.5) * height
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(columns - x, rows - y) / height
    halo = np.exp(-((distance / 0.45) ** 2)) + 0.3 * np.exp(-distance / 0.8)
    return image + 255 * strength * halo[..., None]


def lens_drops(image: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Drops on the lens, in which the picture is out of focus and bent; `number` of them."""
    height, width = image.shape[:2]
    places, sizes = rng.random((60, 2)) * (width, height), pixels(40 + 90 * rng.random(60), image)
    blurred = cv2.filter2D(image, -1, disk(max(pixels(30, image), 1)))
    seen = np.zeros((height, width), np.float32)
    for (x, y), size in list(zip(places, sizes))[:number]:
        cv2.circle(seen, (round(x), round(y)), max(round(size), 1), 1.0, -1, cv2.LINE_AA)
    bent = np.roll(blurred, max(round(pixels(60, image)), 1), axis=0)
    return image + (bent - image) * seen[..., None]


def dirt(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mud on the lens covers a share of the picture."""
    rank = ranked(smooth_field(image.shape[:2], rng, cells=4))
    covered = np.clip((share - rank) / 0.03, 0, 1)[..., None]
    return image + (np.float32([52, 44, 36]) - image) * covered


CORRUPTIONS = corruptions_of(
    "camera weather",
    "camera",
    ("fog", fog, (0.5, 1.0, 1.7, 2.6, 4.0), "optical depth at infinity"),
    ("rain", rain, (80, 180, 340, 580, 900), "streaks a square"),
    ("snow", snow, (120, 300, 560, 960, 1500), "flakes a square"),
    ("sun_glare", sun_glare, (0.25, 0.5, 0.8, 1.2, 1.8), "of the halo"),
    ("lens_drops", lens_drops, (4, 10, 20, 36, 60), "drops"),
    ("dirt", dirt, (0.05, 0.12, 0.22, 0.35, 0.5), "share covered"),
)

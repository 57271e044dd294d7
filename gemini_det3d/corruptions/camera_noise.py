"""Noise and coding of a camera. Images ``(H, W, 3)`` float32 RGB in 0 to 255."""

from __future__ import annotations

import cv2
import numpy as np

from gemini_det3d.corruptions.base import corruptions_of


def gaussian_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Added to every value; deviation in shares of 255."""
    return image + 255 * sigma * rng.standard_normal(image.shape, dtype=np.float32)


def shot_noise(image: np.ndarray, photons: float, rng: np.random.Generator) -> np.ndarray:
    """Of photons that are counted (normal approximation): `photons` of a white pixel."""
    bright = np.clip(image, 0, 255) / 255
    draws = rng.standard_normal(image.shape, dtype=np.float32)
    return image + 255 * np.sqrt(bright / photons) * draws


def speckle_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """In proportion to the value."""
    return image * (1 + sigma * rng.standard_normal(image.shape, dtype=np.float32))


def uniform_noise(image: np.ndarray, reach: float, rng: np.random.Generator) -> np.ndarray:
    """Even in plus and minus `reach` shares of 255."""
    return image + 255 * reach * (2 * rng.random(image.shape, dtype=np.float32) - 1)


def impulse_noise(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Salt and pepper: a share of the pixels turns black or white."""
    chance = rng.random(image.shape[:2], dtype=np.float32)
    is_white = rng.random(image.shape[:2], dtype=np.float32) < 0.5
    return np.where((chance < share)[..., None], np.where(is_white, 255, 0)[..., None], image)


def few_bits(image: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Each channel in `bits` bits; the middle of a step stands for it."""
    step = 256 / 2**bits
    return np.clip(np.floor(image / step) * step + step / 2 - 0.5, 0, 255)


def jpeg(image: np.ndarray, quality: int, rng: np.random.Generator) -> np.ndarray:
    """Coded as JPEG of the given quality."""
    whole = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", whole[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32)


def pixelated(image: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Resolution lost: made smaller by `scale`, and large again."""
    height, width = image.shape[:2]
    small = (max(round(width / scale), 1), max(round(height / scale), 1))
    return cv2.resize(
        cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=0
    )


CORRUPTIONS = (
    *corruptions_of(
        "camera noise",
        "camera",
        ("gaussian_noise", gaussian_noise, (0.04, 0.08, 0.13, 0.2, 0.3), "of 255"),
        ("shot_noise", shot_noise, (150, 60, 25, 11, 5), "photons"),
        ("speckle_noise", speckle_noise, (0.1, 0.2, 0.33, 0.5, 0.75), "share"),
        ("uniform_noise", uniform_noise, (0.07, 0.14, 0.23, 0.35, 0.52), "of 255"),
        ("impulse_noise", impulse_noise, (0.01, 0.03, 0.07, 0.13, 0.22), "share"),
    ),
    *corruptions_of(
        "camera coding",
        "camera",
        ("few_bits", few_bits, (5, 4, 3, 2, 1), "bits a channel"),
        ("jpeg", jpeg, (35, 20, 12, 7, 3), "quality"),
        ("pixelated", pixelated, (1.7, 2.5, 4.0, 6.0, 9.0), "times smaller"),
    ),
)

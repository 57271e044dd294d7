"""Light, colour and optics of a camera. Images ``(H, W, 3)`` float32 RGB in 0 to 255."""

from __future__ import annotations

import numpy as np

from gemini_det3d.corruptions.base import corruptions_of


def dark(image: np.ndarray, light: float, rng: np.random.Generator) -> np.ndarray:
    """Night: a share of the light, with the noise of a sensor that amplifies what is left."""
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return image * light + 12 * (1 - light) * noise


def overexposed(image: np.ndarray, gain: float, rng: np.random.Generator) -> np.ndarray:
    """More light than the sensor holds: values are multiplied and cut off."""
    return image * gain


def low_contrast(image: np.ndarray, kept: float, rng: np.random.Generator) -> np.ndarray:
    """Values move towards the picture's mean."""
    return image.mean() + (image - image.mean()) * kept


def desaturated(image: np.ndarray, kept: float, rng: np.random.Generator) -> np.ndarray:
    """Colours move towards grey of the same luminance (BT.601)."""
    grey = (image @ np.float32([0.299, 0.587, 0.114]))[..., None]
    return grey + (image - grey) * kept


def color_cast(image: np.ndarray, shift: float, rng: np.random.Generator) -> np.ndarray:
    """A wrong white balance: one channel gains what another loses."""
    gains = rng.permutation(np.float32([1, 0, -1]))
    return image * (1 + shift * gains)


def vignetting(image: np.ndarray, loss: float, rng: np.random.Generator) -> np.ndarray:
    """Corners lose a share of their light, with the square of the distance from the middle."""
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in image.shape[:2])
    return image * (1 - loss * (y[:, None] ** 2 + x**2) / 2)[..., None]


CORRUPTIONS = corruptions_of(
    "camera light",
    "camera",
    ("dark", dark, (0.6, 0.42, 0.28, 0.17, 0.08), "share of light"),
    ("overexposed", overexposed, (1.4, 1.9, 2.6, 3.6, 5.0), "gain"),
    ("low_contrast", low_contrast, (0.6, 0.42, 0.28, 0.16, 0.08), "kept"),
    ("desaturated", desaturated, (0.7, 0.5, 0.3, 0.15, 0.0), "kept"),
    ("color_cast", color_cast, (0.12, 0.25, 0.4, 0.6, 0.85), "of a channel"),
    ("vignetting", vignetting, (0.3, 0.5, 0.7, 0.85, 1.0), "loss in corners"),
)

"""How far an image is from the true one, pixel by pixel, and the stretch of the protocol.

Images are arrays of any layout in -1 to 1, as networks of the translation protocol give them.
"""

from __future__ import annotations

import numpy as np


def mean_absolute_error(image: np.ndarray, truth: np.ndarray) -> float:
    """Mean of ``|image - truth|`` over pixels and channels.

    Returns:
        0 to 2 for images in -1 to 1.

    Raises:
        ValueError: Shapes differ.
    """
    return float(np.abs(_difference(image, truth)).mean())


def mean_squared_error(image: np.ndarray, truth: np.ndarray) -> float:
    """Mean of ``(image - truth)^2`` over pixels and channels.

    Published tables of the protocol print the root of its mean over images as "MSE".

    Returns:
        0 to 4 for images in -1 to 1.

    Raises:
        ValueError: Shapes differ.
    """
    return float((_difference(image, truth) ** 2).mean())


def stretch(image: np.ndarray) -> np.ndarray:
    """Map the lowest value of an image to -1 and the highest to 1.

    The released protocol wrote its pictures that way, both true and translated ones, before it took
    features of them, so errors of brightness and contrast went unseen.

    Args:
        image: One image, any shape.

    Returns:
        Same shape; an image of one value becomes -1.
    """
    image = np.asarray(image, dtype=np.float64)
    low, high = image.min(), image.max()
    if high <= low:
        return np.full_like(image, -1.0)
    return (image - low) * (2.0 / (high - low)) - 1.0


def to_bytes(image: np.ndarray) -> np.ndarray:
    """-1 to 1 -> 0 to 255, rounded.

    Args:
        image: Any shape; values outside are clipped.

    Returns:
        uint8, same shape.

    Raises:
        ValueError: A value is NaN or infinite, and no picture.
    """
    lost = int((~np.isfinite(image)).sum())
    if lost:
        raise ValueError(f"{lost} of {np.size(image)} values are NaN or infinite")
    return np.round((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)


def _difference(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    image, truth = np.asarray(image, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if image.shape != truth.shape:
        raise ValueError(f"image has shape {image.shape}, the truth {truth.shape}")
    return image - truth

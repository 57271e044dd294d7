"""Smooth random fields and proxies of depth that image corruptions share."""

from __future__ import annotations

import cv2
import numpy as np


def smooth_field(
    shape: tuple[int, int], generator: np.random.Generator, cells: int = 6
) -> np.ndarray:
    """``(H, W)`` float32 of mean about 0.5 in 0 to 1, about `cells` bumps across the height."""
    height, width = shape
    columns = max(2, round(cells * width / height))
    field = np.zeros(shape, np.float32)
    for octave, weight in ((1, 0.6), (2, 0.3), (4, 0.1)):
        coarse = generator.random((cells * octave, columns * octave), dtype=np.float32)
        field += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(field, 0, 1)


def ranked(field: np.ndarray) -> np.ndarray:
    """The share of places below each place, so that a threshold covers exactly that share."""
    order = field.ravel().argsort(kind="stable").argsort(kind="stable")
    return (order.reshape(field.shape) / field.size).astype(np.float32)


def road_depth(shape: tuple[int, int], horizon: float = 0.45) -> np.ndarray:
    """``(H, 1)`` depth of a flat road in units of the far: 1 from the horizon up, less below."""
    rows = (np.arange(shape[0], dtype=np.float32) + 0.5) / shape[0]
    below = np.clip((rows - horizon) / (1 - horizon), 0.0, 1.0)
    return (1 / (1 + 6 * below))[:, None].astype(np.float32)


def disk(radius: float) -> np.ndarray:
    """Kernel of a disk that sums to 1; its edge is smooth, so the radius may be a fraction."""
    half = int(np.ceil(radius))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return kernel / kernel.sum()


def pixels(share: float, image: np.ndarray) -> float:
    """Thousandths of the image's height in pixels."""
    return share * image.shape[0] / 1000

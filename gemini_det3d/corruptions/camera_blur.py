"""Blur of a camera. Images ``(H, W, 3)`` float32 RGB; lengths in thousandths of the height."""

from __future__ import annotations

import cv2
import numpy as np

from gemini_det3d.corruptions.base import corruptions_of
from gemini_det3d.corruptions.fields import disk, pixels


def gaussian_blur(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian of the given deviation."""
    return cv2.GaussianBlur(image, (0, 0), max(pixels(sigma, image), 0.1))


def defocus(image: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """A disk of the given radius."""
    return cv2.filter2D(image, -1, disk(pixels(radius, image)))


def motion_blur(image: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """The camera turns during the exposure: a line near the horizontal."""
    angle, reach = rng.uniform(-0.35, 0.35), pixels(length, image)
    steps = np.linspace(-0.5, 0.5, 31) * reach
    half = int(np.ceil(reach / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for x, y in zip(half + steps * np.cos(angle), half + steps * np.sin(angle)):
        column, row = int(x), int(y)
        right, down = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer((1 - down, down), (1 - right, right))
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def zoom_blur(image: np.ndarray, reach: float, rng: np.random.Generator) -> np.ndarray:
    """Driving fast during the exposure: the mean of pictures magnified by up to `reach` more."""
    return np.mean([magnified(image, 1 + zoom) for zoom in np.linspace(0, reach, 13)], axis=0)


def glass_blur(image: np.ndarray, reach: float, rng: np.random.Generator) -> np.ndarray:
    """Frosted glass: every pixel is read from a place up to `reach` away."""
    height, width = image.shape[:2]
    away = rng.uniform(-1, 1, (2, height, width)).astype(np.float32) * pixels(reach, image)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(
        image, columns + away[0], rows + away[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def magnified(image: np.ndarray, scale: float) -> np.ndarray:
    """The picture magnified about its middle, cut to its size."""
    height, width = image.shape[:2]
    matrix = np.float32([[scale, 0, (1 - scale) * width / 2], [0, scale, (1 - scale) * height / 2]])
    return cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


_UNIT = "thousandths of the height"
CORRUPTIONS = corruptions_of(
    "camera blur",
    "camera",
    ("gaussian_blur", gaussian_blur, (4.5, 9, 13, 18, 27), _UNIT),
    ("defocus", defocus, (8, 13, 20, 30, 45), _UNIT),
    ("motion_blur", motion_blur, (20, 40, 70, 110, 160), _UNIT),
    ("zoom_blur", zoom_blur, (0.03, 0.06, 0.1, 0.16, 0.25), "magnification"),
    ("glass_blur", glass_blur, (5, 9, 14, 21, 30), _UNIT),
)

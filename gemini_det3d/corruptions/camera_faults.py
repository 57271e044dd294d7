"""A camera that fails in part. Images ``(H, W, 3)`` float32 RGB in 0 to 255."""

from __future__ import annotations

import cv2
import numpy as np

from gemini_det3d.corruptions.base import corruptions_of
from gemini_det3d.corruptions.camera_blur import magnified

_BLOCK = 1 / 24  # of the height: what a lost packet of video covers
_SPEED, _DISTANCE = 10.0, 20.0  # m/s of the car, m to what it sees: of a stale frame


def lost_blocks(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Packets of the video are lost: a share of its blocks is black."""
    size = max(round(_BLOCK * image.shape[0]), 1)
    height, width = image.shape[:2]
    drawn = rng.random((-(-height // size), -(-width // size)))
    lost = np.kron(drawn < share, np.ones((size, size), bool))[:height, :width]
    return np.where(lost[..., None], 0, image)


def dead_lines(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of the columns does not answer: each is stuck at black or white."""
    chance, stuck = rng.random(image.shape[1]), rng.integers(0, 2, image.shape[1]) * 255
    return np.where((chance < share)[None, :, None], stuck[None, :, None], image)


def stale_frame(image: np.ndarray, delay_s: float, rng: np.random.Generator) -> np.ndarray:
    """A picture of some time ago: at 10 m/s, what is 20 m away was further and smaller."""
    return magnified(image, _DISTANCE / (_DISTANCE + _SPEED * delay_s))


def rolling_shutter(image: np.ndarray, shear: float, rng: np.random.Generator) -> np.ndarray:
    """The camera turns while its rows are read: from top to bottom they move by `shear` widths."""
    height, width = image.shape[:2]
    turn = shear * width * (1 if rng.random() < 0.5 else -1)
    matrix = np.float32([[1, turn / height, -turn / 2], [0, 1, 0]])
    return cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


CORRUPTIONS = corruptions_of(
    "camera fault",
    "camera",
    ("lost_blocks", lost_blocks, (0.05, 0.15, 0.3, 0.5, 0.75), "share"),
    ("dead_lines", dead_lines, (0.03, 0.08, 0.16, 0.28, 0.45), "of columns"),
    ("stale_frame", stale_frame, (0.1, 0.2, 0.4, 0.7, 1.2), "s ago"),
    ("rolling_shutter", rolling_shutter, (0.01, 0.02, 0.04, 0.07, 0.11), "widths"),
)

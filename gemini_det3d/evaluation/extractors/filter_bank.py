"""Built-in features: colours, and how strongly each scale and direction is present where.

No weights and no random numbers, so a distance computed with them can be repeated anywhere. They
see blur, noise, colour and coarse layout; they do not know objects, so figures do not compare with
published FID and KID.
"""

from __future__ import annotations

import numpy as np
from mmdet3d.registry import MODELS

from gemini_det3d.evaluation.extractors.base import FeatureExtractor
from gemini_det3d.registration import register

# Brightness, blue against yellow, red against green; rows of unit length.
_OPPONENT = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, 2.0], [1.0, -1.0, 0.0]])
_OPPONENT /= np.linalg.norm(_OPPONENT, axis=1, keepdims=True)
# Energies span decades; this share of full contrast is where they start to count.
_FLOOR = 0.02


@register(MODELS)
class FilterBankFeatures(FeatureExtractor):
    """Statistics of directional derivatives over a pyramid of halved images.

    For each opponent colour channel and each scale: the means over a ``grid`` x ``grid`` raster of
    the value and of the logarithm of the energy of the derivative along four directions. Images of
    any size give features of one length.

    Args:
        num_scales: Times that the image is looked at, halved in between.
        grid: Cells per side over which energies are averaged.

    Raises:
        ValueError: A number is below 1.
    """

    name = "filter-bank"

    def __init__(self, num_scales: int = 4, grid: int = 2) -> None:
        if num_scales < 1 or grid < 1:
            raise ValueError(f"num_scales={num_scales} and grid={grid} must be 1 or more")
        self.num_scales, self.grid = num_scales, grid

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """``(N, H, W, 3)`` uint8 -> ``(N, 15 * num_scales * grid^2)``.

        Raises:
            ValueError: The images have another shape or are too small for the scales.
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images must be (N, H, W, 3), got {images.shape}")
        least = 2 ** (self.num_scales - 1) * max(2, self.grid)
        if min(images.shape[1:3]) < least:
            raise ValueError(
                f"images of {images.shape[1]} x {images.shape[2]} are too small for "
                f"num_scales={self.num_scales}: {least} pixels at least"
            )
        maps = np.moveaxis(images / 255.0 @ _OPPONENT.T, 3, 1)
        features = []
        for scale in range(self.num_scales):
            if scale:
                maps = _halved(maps)
            energies = [np.log(np.hypot(d, _FLOOR)) for d in _derivatives(maps)]
            features += [self._raster(part) for part in (maps, *energies)]
        return np.concatenate(features, axis=1)

    def _raster(self, maps: np.ndarray) -> np.ndarray:
        """``(N, C, H, W)`` -> ``(N, C grid^2)`` means over cells."""
        rows = [r.mean(axis=2) for r in np.array_split(maps, self.grid, axis=2)]
        cells = [c.mean(axis=2) for row in rows for c in np.array_split(row, self.grid, axis=2)]
        return np.concatenate(cells, axis=1)


def _derivatives(maps: np.ndarray) -> list[np.ndarray]:
    """Along x, y and both diagonals, per pixel of distance; edges repeat."""
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = maps.shape[2:]

    def moved(dy: int, dx: int) -> np.ndarray:
        return padded[:, :, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    return [(moved(dy, dx) - moved(-dy, -dx)) / (2 * np.hypot(dy, dx)) for dy, dx in steps]


def _halved(maps: np.ndarray) -> np.ndarray:
    """Means over 2 x 2 pixels; an odd last row or column is left out."""
    height, width = maps.shape[2] // 2 * 2, maps.shape[3] // 2 * 2
    maps = maps[:, :, :height, :width]
    return maps.reshape(*maps.shape[:2], height // 2, 2, width // 2, 2).mean(axis=(3, 5))

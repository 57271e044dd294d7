"""What an extractor of image features is; any class of this kind can be registered and named."""

from __future__ import annotations

import numpy as np


class FeatureExtractor:
    """Images -> features, for :func:`frechet_distance` and :func:`kernel_distance`.

    Register a subclass in ``mmdet3d.registry.MODELS`` and name it in the metric:
    ``TranslationMetric(extractor=dict(type='MyFeatures'))``.

    Attributes:
        name: Stands in the result beside each distance: numbers of different extractors do not
            compare.
    """

    name = "features"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of a batch of images.

        Args:
            images: ``(N, H, W, 3)`` uint8 RGB.

        Returns:
            ``(N, D)`` float64.
        """
        raise NotImplementedError

"""Losses as functions, and the registered ones that name them in configs."""

from .adversarial import AdversarialLoss
from .segmentation import OhemCrossEntropy, PixelCrossEntropy, hard_pixel_mean

__all__ = [
    "AdversarialLoss",
    "OhemCrossEntropy",
    "PixelCrossEntropy",
    "hard_pixel_mean",
]

"""Losses as functions, and the registered ones that name them in configs."""

from .segmentation import OhemCrossEntropy, PixelCrossEntropy, hard_pixel_mean

__all__ = ["OhemCrossEntropy", "PixelCrossEntropy", "hard_pixel_mean"]

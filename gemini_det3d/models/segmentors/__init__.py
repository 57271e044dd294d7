"""Whole models for pixels: images of several modalities in, classes out."""

from .fusion_segmentor import FusionSegmentor
from .preprocessor import ModalityPreprocessor

__all__ = ["FusionSegmentor", "ModalityPreprocessor"]

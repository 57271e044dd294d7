"""Encoders of several aligned modalities with a fusion slot in their blocks."""

from .base import FusionBackbone
from .layers import ModalityHub
from .mit import GeminiMiT, MiTBlock, OverlapPatchEmbed
from .swin import GeminiSwin

__all__ = [
    "FusionBackbone",
    "GeminiMiT",
    "GeminiSwin",
    "MiTBlock",
    "ModalityHub",
    "OverlapPatchEmbed",
]

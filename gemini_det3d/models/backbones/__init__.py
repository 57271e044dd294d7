"""Encoders of aligned modalities with a fusion slot in their blocks, and of point sets."""

from .base import FusionBackbone
from .layers import ModalityHub
from .mit import GeminiMiT
from .mit_layers import MiTBlock, OverlapPatchEmbed
from .pointnet2 import GeminiPointNet2SASSG
from .swin import GeminiSwin

__all__ = [
    "FusionBackbone",
    "GeminiMiT",
    "GeminiPointNet2SASSG",
    "GeminiSwin",
    "MiTBlock",
    "ModalityHub",
    "OverlapPatchEmbed",
]

"""Adapters that bring two modalities to one fusion operator."""

from .map_fusion import MapFusionNeck
from .point_fusion import PointFusionNeck, sample_shared

__all__ = ["MapFusionNeck", "PointFusionNeck", "sample_shared"]

"""Adapters that bring two modalities to one fusion operator."""

from .point_fusion import PointFusionNeck, sample_shared

__all__ = ["PointFusionNeck", "sample_shared"]

"""Adapters that bring two modalities to one fusion operator."""

from .image_sampler import ImageSampler, PointSamples
from .map_fusion import MapFusionNeck
from .point_fusion import PointFusionNeck

__all__ = ["ImageSampler", "MapFusionNeck", "PointFusionNeck", "PointSamples"]

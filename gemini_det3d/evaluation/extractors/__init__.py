"""Image features for distances between sets of images; importing this package registers them."""

from __future__ import annotations

from gemini_det3d.evaluation.extractors.base import FeatureExtractor
from gemini_det3d.evaluation.extractors.filter_bank import FilterBankFeatures
from gemini_det3d.evaluation.extractors.inception import InceptionFeatures

__all__ = ["FeatureExtractor", "FilterBankFeatures", "InceptionFeatures"]

"""Detectors."""

from .bev import GeminiBEVDetector
from .mvxnet import GeminiMVXNet

__all__ = ["GeminiBEVDetector", "GeminiMVXNet"]

"""Detectors."""

from .bev import GeminiBEVDetector
from .mvxnet import GeminiMVXNet
from .votenet import GeminiVoteNet

__all__ = [
    "GeminiBEVDetector",
    "GeminiMVXNet",
    "GeminiVoteNet",
]

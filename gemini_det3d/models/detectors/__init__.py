"""Detectors."""

from .mvxnet import GeminiMVXNet

__all__ = ["GeminiMVXNet"]

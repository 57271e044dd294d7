"""Sparse voxel encoders."""

from .sparse_encoder import GeminiSparseEncoder

__all__ = ["GeminiSparseEncoder"]

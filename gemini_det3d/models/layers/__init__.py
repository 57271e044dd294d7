"""Small layers that the models share."""

from .norm import SmallBatchNorm1d

__all__ = ["SmallBatchNorm1d"]

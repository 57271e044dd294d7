"""Small layers that the models share."""

from .graph import keep_in_graph
from .norm import SmallBatchNorm1d

__all__ = ["SmallBatchNorm1d", "keep_in_graph"]

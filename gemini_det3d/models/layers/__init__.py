"""Small layers that the models share."""

from .graph import keep_in_graph
from .norm import SmallBatchNorm1d
from .point_sets import GeminiPointFPModule, GeminiPointSAModule

__all__ = [
    "GeminiPointFPModule",
    "GeminiPointSAModule",
    "SmallBatchNorm1d",
    "keep_in_graph",
]

"""The simple rivals of GeminiFusion: same call, so any can stand in.

All keep the rule of `valid`: where it is False a token keeps its own value and reads nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import FusionOperator, hide, keep_own

__all__ = ["ConcatFusion", "SumFusion"]


class SumFusion(FusionOperator):
    """Both streams become their sum. No parameters.

    Args:
        dim: Channels C of both streams.
        num_heads: Without meaning here.
    """

    def fuse(self, first: Tensor, second: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Sum checked streams (..., C); see `FusionOperator.forward`."""
        # twice, so that who overwrites one stream leaves the other alone
        fused_first, fused_second = first + second, second + first
        return keep_own(valid, fused_first, first), keep_own(valid, fused_second, second)


class ConcatFusion(FusionOperator):
    """Each stream becomes a linear map of [own ; other], one map per direction.

    Args:
        dim: Channels C of both streams.
        num_heads: Without meaning here.
    """

    def __init__(self, dim: int, num_heads: int = 8) -> None:
        super().__init__(dim, num_heads)
        self.to_first = nn.Linear(2 * dim, dim)
        self.to_second = nn.Linear(2 * dim, dim)

    def fuse(self, first: Tensor, second: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Concatenate and map checked streams (..., C); see `FusionOperator.forward`."""
        # hidden, because a NaN would reach the gradients of the weights as 0 * NaN
        seen_first, seen_second = hide(first, valid), hide(second, valid)
        fused_first = self.to_first(torch.cat((seen_first, seen_second), dim=-1))
        fused_second = self.to_second(torch.cat((seen_second, seen_first), dim=-1))
        return keep_own(valid, fused_first, first), keep_own(valid, fused_second, second)

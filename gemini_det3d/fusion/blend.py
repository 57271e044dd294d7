"""Two fused streams into one: a learned weighted sum that takes only what exists.

The released KITTI detector ends its fusion layer so, with a ReLU behind it; the released
segmentors average the logits of the two streams with the same weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import broadcast_valid, check_streams

__all__ = ["StreamBlend", "blend_streams"]


class StreamBlend(nn.Module):
    """Blend two streams with softmax(alpha); alpha starts at ones, that is the mean.

    Args:
        with_relu: Clip the blend at zero, as the released KITTI detector does.
    """

    def __init__(self, with_relu: bool = False) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(2))
        self.with_relu = with_relu

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        first_exists: Tensor | None = None,
        second_exists: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Blend (..., C) streams into one (..., C); arguments as in `blend_streams`."""
        blended = blend_streams(first, second, self.alpha, first_exists, second_exists, bias)
        return torch.relu(blended) if self.with_relu else blended

    def extra_repr(self) -> str:
        """Show the option in the printed model."""
        return f"with_relu={self.with_relu}"


def blend_streams(
    first: Tensor,
    second: Tensor,
    alpha: Tensor,
    first_exists: Tensor | None = None,
    second_exists: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Weighted sum of two streams with weights softmax(alpha).

    Args:
        first: (..., C).
        second: (..., C).
        alpha: (2,) logits of the weights.
        first_exists: Bool, broadcastable to (...): where the first stream is real. Where only one
            stream is real the blend is that stream; where none is, zeros. What is not real is not
            read, NaN included. None: everywhere.
        second_exists: The same of the second stream.
        bias: Float (...), added to the second's logit (`FusionOperator.doubt_bias`); None: 0.

    Returns:
        (..., C).

    Raises:
        ValueError: Shapes differ or a mask does not fit.
    """
    check_streams(first, second, first.shape[-1], "blend_streams")
    weights = _weights(alpha, bias).to(first.dtype)
    if first_exists is None and second_exists is None:
        return weights[0] * first + weights[1] * second
    first_exists = _mask(first_exists, first)
    second_exists = _mask(second_exists, first)
    both = first_exists & second_exists
    one = torch.ones((), dtype=first.dtype, device=first.device)
    first = torch.where(first_exists, first, 0) * torch.where(both, weights[0], one)
    second = torch.where(second_exists, second, 0) * torch.where(both, weights[1], one)
    return first + second


def _weights(alpha: Tensor, bias: Tensor | None) -> Tensor:
    """(2,), or (2, ..., 1) with a bias (...)."""
    if bias is None:
        return alpha.softmax(dim=0)
    logits = torch.stack((torch.zeros_like(bias), bias))
    return (logits + alpha.view(2, *[1] * bias.dim())).softmax(dim=0)[..., None]


def _mask(exists: Tensor | None, stream: Tensor) -> Tensor:
    if exists is None:
        return torch.ones(stream.shape[:-1] + (1,), dtype=torch.bool, device=stream.device)
    return broadcast_valid(exists, stream.shape[:-1])[..., None]

"""Two fused streams into one: a learned weighted sum that takes only what exists.

The released KITTI detector ends its fusion layer so, with a ReLU behind it; the released
segmentors average the logits of the two streams with the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .base import broadcast_valid, check_many, check_streams, check_tensors
from .kernels.torch_versions import without_autocast

__all__ = ["StreamBlend", "blend_many", "blend_streams"]


class StreamBlend(nn.Module):
    """Blend two streams with softmax(alpha); alpha starts at ones, that is the mean.

    Args:
        with_relu: Clip the blend at zero, as the released KITTI detector does.
        num_streams: Weights; of more than two `blend_many` makes the blend.
    """

    def __init__(self, with_relu: bool = False, num_streams: int = 2) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(num_streams))
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
        TypeError: An argument is no tensor; the message names it.
        ValueError: Shapes differ or a mask does not fit.
    """
    check_tensors("blend_streams", first=first, second=second, alpha=alpha)
    check_streams(first, second, first.shape[-1], "blend_streams")
    weights = _weights(alpha, bias).to(first.dtype)
    if first_exists is None and second_exists is None:
        return weights[0] * first + weights[1] * second
    masks = [None if m is None else _mask(m, first) for m in (first_exists, second_exists)]
    there = [mask for mask in masks if mask is not None]
    both = there[0] if len(there) == 1 else there[0] & there[1]
    one = torch.ones((), dtype=first.dtype, device=first.device)
    first, second = (
        (stream if mask is None else torch.where(mask, stream, 0)) * torch.where(both, weight, one)
        for stream, mask, weight in zip((first, second), masks, weights)
    )
    return first + second


def blend_many(
    streams: Sequence[Tensor], alpha: Tensor, exists: Sequence[Tensor] | None = None
) -> Tensor:
    """Weighted sum of M streams with the softmax of alpha over those that are real.

    Args:
        streams: M times (..., C).
        alpha: (M,) logits of the weights.
        exists: M times bool, broadcastable to (...), where each is real; what is not is not read,
            NaN included. None: everywhere.

    Returns:
        (..., C), zeros where no stream is real.

    Raises:
        TypeError: An argument is no tensor; the message names it.
        ValueError: No stream, weights or masks of another number, or they do not fit each other.
    """
    check_many("blend_many", streams)
    check_tensors("blend_many", alpha=alpha)
    if len(streams) == 0 or alpha.shape != (len(streams),):
        raise ValueError(
            f"blend_many: alpha of shape {tuple(alpha.shape)} for {len(streams)} streams"
        )
    for stream in streams:
        check_streams(streams[0], stream, stream.shape[-1], "blend_many")
    shape = (len(streams), *[1] * streams[0].dim())
    logits = alpha.view(shape)
    if exists is None:
        return (_stack(streams) * logits.softmax(dim=0).to(streams[0].dtype)).sum(dim=0)
    check_many("blend_many", exists, "exists")
    if len(exists) != len(streams):
        raise ValueError(f"blend_many: exists has {len(exists)} masks for {len(streams)} streams")
    real = torch.stack([_mask(mask, stream) for mask, stream in zip(exists, streams)])
    lowest = torch.finfo(logits.dtype).min  # not infinite: a softmax over nothing is NaN
    weights = torch.where(real, logits, lowest).softmax(dim=0).to(streams[0].dtype)
    return (torch.where(real, _stack(streams), 0) * weights).sum(dim=0)


def _stack(streams: Sequence[Tensor]) -> Tensor:
    """(M, ..., C); autocast would refuse the half that is not its own."""
    with without_autocast(streams[0].device.type):
        return torch.stack(list(streams))


def _weights(alpha: Tensor, bias: Tensor | None) -> Tensor:
    """(2,), or (2, ..., 1) with a bias (...)."""
    if bias is None:
        return alpha.softmax(dim=0)
    logits = torch.stack((torch.zeros_like(bias), bias))
    return (logits + alpha.view(2, *[1] * bias.dim())).softmax(dim=0)[..., None]


def _mask(exists: Tensor, stream: Tensor) -> Tensor:
    return broadcast_valid(exists, stream.shape[:-1])[..., None]

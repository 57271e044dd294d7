"""How much a token is to be doubted, and what that does to the gate.

Each stream has one linear layer 2C -> 1 of the token and the mean token of its sample; s = sigmoid
of its logit r is the share to which a token is corrupted. The mean, for that is where it shows: one
place looks much the same with half of the points around it lost, a whole frame does not.
g_j log(1 - s_j) of a key's stream j is added to that key's logit in the attention, so with two keys
the gate a of stream i becomes

    a = sigmoid(l_i + g_j log(1 - s_j) - g_i log(1 - s_i))
      = sigmoid(l_i + g_i softplus(r_i) - g_j softplus(r_j))

with l_i the released logit: one number a token pair, which the two directions meet with opposite
signs. The layers say what is corrupted, and are told so by `reliability_loss`, the strength of what
was injected, and by nothing else: the gate reads doubts without sending gradients back, for those
of a detector's loss are so much larger that with them the layer hardly moves. What a doubt is
worth, the weights g of the two streams, the task itself says: a corrupted sensor may still hold
what the other lacks. They start at zero, where the operator is the released one.

All in float32 (float64 for such streams): half precision rounds the difference of two large logits
to nothing. Shape shorthand: `...` any leading axes, C channels, B samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Counts, Doubts, check_many, check_tensors
from .kernels.torch_versions import without_autocast

__all__ = [
    "START_BIAS",
    "batch_centre",
    "doubt",
    "follow_spread",
    "gate_bias",
    "reliability_loss",
    "sample_means",
    "sample_of_tokens",
]

_GAIN = 5.0
"""Of weight, bias and g. Adam moves a parameter by about the learning rate a step, which suits the
weights of wide layers: a logit that is to move by several needs a larger unit."""
START_BIAS = math.log(0.1 / 0.9) / _GAIN
"""Doubt 0.1, of every token of both streams: about what training injects on average."""
_MOMENTUM = 0.05


def doubt(
    stream: Tensor, mean: Tensor, weight: Tensor, bias: Tensor, spread: tuple[Tensor, Tensor]
) -> Tensor:
    """Logits of corruption, 5 (weight ([x ; mean] - centre) / deviation + bias).

    Args:
        stream: (..., C).
        mean: Broadcastable to (..., C), of `sample_means`.
        weight: (2C,).
        bias: ().
        spread: Centre and deviation of [x ; mean], (2C,) each: what a corruption changes is small
            beside what channels hold anyway, and a layer that does not see it as it is, but in its
            own unit, learns it in hundreds of steps.

    Returns:
        (...), float32 or float64.
    """
    check_tensors("doubt", stream=stream, mean=mean, weight=weight, bias=bias)
    kind = torch.float64 if stream.dtype == torch.float64 else torch.float32
    stream, mean, weight, bias = (x.to(kind) for x in (stream, mean, weight, bias))
    centre, deviation = (x.to(kind) for x in spread)
    weight = _GAIN * weight / deviation
    bias = _GAIN * bias - (weight * centre).sum()
    of_token, of_mean = weight[None].split(stream.shape[-1], dim=1)
    with without_autocast(stream.device.type):
        return _linear(stream, of_token) + _linear(mean, of_mean) + bias


def _linear(stream: Tensor, weight: Tensor) -> Tensor:
    return F.linear(stream, weight)[..., 0]


@torch.no_grad()
def follow_spread(
    centre: Tensor,
    variance: Tensor,
    seen: Tensor,
    stream: Tensor,
    mean: Tensor,
    valid: Tensor | None,
) -> Tensor:
    """Let running centre and variance (2C,) follow the tokens of a training forward, in place.

    Of tokens mean and variance are over all that are valid; of the samples' means likewise, so that
    each counts as often as it has tokens. The first forward sets them; one that is not finite, or
    in which nothing is valid, leaves them. All is computed in float32 at least, and the variance
    about this forward's own mean: about another, digits would cancel. Call it without autocast.

    Args:
        centre: (2C,).
        variance: (2C,).
        seen: () bool, whether there was a forward before.
        stream: (..., C).
        mean: As of `doubt`.
        valid: Bool (...); None: all.

    Returns:
        `batch_centre`, on the way.
    """
    rows, share, number = _weighed(stream, mean, valid, centre)
    rate = torch.where(seen, _MOMENTUM, 1.0)
    first = share @ rows
    second = share @ (rows - first).square() + (1 - rate) * (first - centre).square()
    first, second = first.to(centre), second.clamp(min=1e-6).to(variance)
    counts = (number > 0) & first.isfinite().all() & second.isfinite().all()
    step = (rate * counts).to(centre)
    variance.lerp_(torch.where(counts, second, variance), step)
    centre.lerp_(torch.where(counts, first, centre), step)
    seen.logical_or_(counts)
    return first


@torch.no_grad()
def batch_centre(stream: Tensor, mean: Tensor, valid: Tensor | None, like: Tensor) -> Tensor:
    """Mean of [x ; mean] over the valid tokens of one forward: (2C,) in the dtype of `like`.

    Call it without autocast, as `follow_spread`.
    """
    rows, share, _ = _weighed(stream, mean, valid, like)
    return (share @ rows).to(like)


def _weighed(
    stream: Tensor, mean: Tensor, valid: Tensor | None, like: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens beside their means (N, 2C), the share of each (N,), and how many are valid.

    In the dtype of `like`, or float32 if that is narrower.
    """
    kind = torch.promote_types(like.dtype, torch.float32)
    both = torch.cat([stream.to(kind), mean.to(kind).expand_as(stream)], dim=-1)
    share = both.new_ones(both.shape[:-1]) if valid is None else valid.to(kind)
    number = share.sum()
    rows = both.flatten(0, -2) if both.dim() > 1 else both[None]
    return rows, share.flatten() / number.clamp(min=1), number


def sample_of_tokens(counts: tuple[int, ...] | None, device: torch.device) -> Tensor | None:
    """The number of each token's sample, (N,) int64, of `counts`; None for None.

    Made where it is needed: a copy from the host waits for a GPU and is refused in CUDA graphs.
    """
    if counts is None:
        return None
    numbers = [torch.full((n,), i, device=device) for i, n in enumerate(counts)]
    return torch.cat(numbers) if numbers else torch.zeros(0, dtype=torch.int64, device=device)


def sample_means(
    stream: Tensor, valid: Tensor | None, counts: Counts, sample: Tensor | None
) -> Tensor:
    """The mean token of each token's sample, over those that are valid.

    Args:
        stream: (..., C), zeros where not valid.
        valid: Bool (...); None: all.
        counts: As of `FusionOperator.forward`.
        sample: `sample_of_tokens` of them.

    Returns:
        Broadcastable to (..., C), float32 or float64; zeros of a sample where none is valid.
    """
    stream = stream.to(torch.promote_types(stream.dtype, torch.float32))
    if counts == ():
        return torch.zeros_like(stream)
    if counts is None or sample is None:
        axes = tuple(range(1, stream.dim() - 1))
        if not axes:  # every token is a sample
            return stream
        if valid is None:
            number = max(math.prod(stream.shape[1:-1]), 1)
        else:
            number = valid.sum(axes, keepdim=True).clamp(min=1)[..., None]
        return stream.sum(axes, keepdim=True) / number
    one = torch.ones(len(stream), device=stream.device) if valid is None else valid
    number = torch.zeros(len(counts), device=stream.device).index_add(0, sample, one.float())
    total = stream.new_zeros(len(counts), stream.shape[-1]).index_add(0, sample, stream)
    return (total / number.clamp(min=1)[:, None].to(total))[sample]


def gate_bias(first: Tensor, second: Tensor, worth: Tensor) -> Tensor:
    """What is added to the first direction's logit and taken off the second's: (...).

    Args:
        first: Logits of corruption (...) of the first stream; they get no gradient.
        second: Of the second.
        worth: (2,), g / 5 of both streams; below zero it counts as zero, with a gradient back up.
    """
    check_tensors("gate_bias", first=first, second=second, worth=worth)
    worth = _GAIN * worth.to(first)
    worth = worth + (worth.clamp(min=0) - worth).detach()
    return worth[0] * F.softplus(first.detach()) - worth[1] * F.softplus(second.detach())


def reliability_loss(doubts: Doubts, strengths: Sequence[Tensor]) -> Tensor:
    """Binary cross-entropy of the logits against the strength of what was injected.

    Args:
        doubts: Of one operator.
        strengths: For each stream (B,) in 0 (clean) to 1 (nothing left of the signal).

    Returns:
        The mean over both streams and all tokens that are valid, weighted; 0 where none is.

    Raises:
        ValueError: The tokens are not those of B samples.
    """
    check_many("reliability_loss", strengths, "strengths")
    if doubts.counts == ():
        return doubts.weight * 0 * (doubts.first.sum() + doubts.second.sum())
    sample, total = sample_of_tokens(doubts.counts, doubts.first.device), []
    for logits, strength in zip((doubts.first, doubts.second), strengths):
        strength = strength.to(logits.device, logits.dtype, non_blocking=True)
        wanted = _per_token(strength, logits, doubts.counts, sample)
        total.append(F.binary_cross_entropy_with_logits(logits, wanted, reduction="none"))
    loss = total[0] + total[1]
    if doubts.valid is not None:
        loss = torch.where(doubts.valid, loss, 0)
        number = doubts.valid.sum().clamp(min=1)
    else:
        number = max(loss.numel(), 1)
    return doubts.weight * loss.sum() / (2 * number)


def _per_token(strength: Tensor, logits: Tensor, counts: Counts, sample: Tensor | None) -> Tensor:
    """(B,) as (...)."""
    found = len(counts) if counts is not None else logits.shape[0] if logits.dim() else 0
    if found != len(strength):
        raise ValueError(f"reliability: tokens of {found} samples, strengths of {len(strength)}")
    if sample is None:
        return strength.view(-1, *[1] * (logits.dim() - 1)).expand_as(logits)
    return strength[sample]

"""Focal loss (Lin et al., ICCV 2017) and its gradient, an element at a time.

Shapes: N rows, C classes. ``weight`` is ``(C,)`` or empty; a row's label picks its weight. Half
precision is computed in float32: there ``1 - p`` is 0 from logits of 6 (bfloat16) or 8 on, and the
floor under the logarithm is no number of float16.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """``(N, C)`` logits and ``(N,)`` labels (C or more: background) -> ``(N, C)`` losses."""
    p, hit = _at_least_float32(input).sigmoid(), _one_hot(target, input)
    positive = (1 - p).pow(gamma) * _log(p)
    negative = p.pow(gamma) * _log(1 - p)
    loss = -torch.where(hit, alpha * positive, (1 - alpha) * negative)
    output.copy_(_weighted(loss, target, weight))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of each loss by its logit: ``(N, C)``."""
    p, hit = _at_least_float32(input).sigmoid(), _one_hot(target, input)
    positive = (1 - p).pow(gamma) * (1 - p - gamma * p * _log(p))
    negative = p.pow(gamma) * (gamma * (1 - p) * _log(1 - p) - p)
    grad = -torch.where(hit, alpha * positive, (1 - alpha) * negative)
    grad_input.copy_(_weighted(grad, target, weight))


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """``(N, C)`` probabilities and ``(N,)`` labels (negative: ignored) -> ``(N,)`` losses."""
    p = _of_label(_at_least_float32(input), target)
    loss = -alpha * (1 - p).pow(gamma) * _log(p)
    output.copy_(torch.where(target >= 0, _weighted(loss, target, weight), 0))


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Derivative of each loss by the logits: ``(N, C)``; ``buff`` ``(N,)`` is scratch."""
    values = _at_least_float32(input)
    p = _of_label(values, target)
    slope = alpha * (gamma * (1 - p).pow(gamma - 1) * p * _log(p) - (1 - p).pow(gamma))
    slope = torch.where(target >= 0, _weighted(slope, target, weight), 0)
    grad_input.copy_(slope[:, None] * (_one_hot(target, values).to(values.dtype) - values))
    buff.copy_(slope)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _log(p: Tensor) -> Tensor:
    """Logarithm that stays finite at 0; float32's smallest normal number is the floor."""
    return p.clamp(min=torch.finfo(torch.float32).tiny).log()


def _one_hot(target: Tensor, like: Tensor) -> Tensor:
    return target[:, None] == torch.arange(like.shape[1], device=like.device)


def _of_label(values: Tensor, target: Tensor) -> Tensor:
    """Each row's value at its label: ``(N, C)``, ``(N,)`` -> ``(N,)``."""
    return values.gather(1, target.clamp(min=0)[:, None])[:, 0]


def _weighted(values: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    if weight.numel() == 0:
        return values
    # The background has no weight of its own; compiled mmcv reads past the end there.
    factor = torch.cat([weight, weight.new_ones(1)])[target.clamp(0, len(weight))]
    return values * (factor if values.ndim == 1 else factor[:, None])

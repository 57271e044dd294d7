"""Cross-entropy over pixels: all of them, or the hard ones.

Shape shorthand: B images, K classes, H x W pixels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.registration import register


def hard_pixel_mean(
    losses: Tensor, is_counted: Tensor, threshold: float, min_share: float
) -> Tensor:
    """Mean over the hard pixels (online hard example mining).

    Args:
        losses: Loss of each pixel, any shape.
        is_counted: Bool of the same shape; the others take no part.
        threshold: Pixels above it are hard.
        min_share: At least this share of the counted pixels are taken, the hardest ones; their
            number is rounded down, so of fewer than 1 / ``min_share`` maybe none.

    Returns:
        A number; 0 with a gradient of 0 where no pixel is taken.
    """
    counted = losses[is_counted]
    if counted.numel() == 0:
        return counted.sum() * 0
    hard = counted[counted > threshold]
    least = int(counted.numel() * min_share)
    if hard.numel() < least:
        hard = counted.topk(least).values
    return hard.mean() if hard.numel() else counted.sum() * 0


@register(MODELS)
class PixelCrossEntropy(nn.Module):
    """Mean cross-entropy over the labelled pixels.

    Args:
        ignore_index: Label of pixels that do not count; their logits are not read, NaN included.
        loss_weight: Factor.
    """

    def __init__(self, ignore_index: int = 255, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.ignore_index, self.loss_weight = ignore_index, loss_weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``(B, K, H, W)`` and ``(B, H, W)`` int64 -> a number; 0 where no pixel is labelled."""
        logits = _hide_ignored(logits, labels, self.ignore_index)
        total = _cross_entropy(logits, labels, self.ignore_index, reduction="sum")
        return self.loss_weight * total / (labels != self.ignore_index).sum().clamp(min=1)


@register(MODELS)
class OhemCrossEntropy(nn.Module):
    """Mean cross-entropy over the hard pixels, as the released DeLiVER models are trained.

    Args:
        threshold: Pixels whose class gets less than this probability are hard.
        min_share: See `hard_pixel_mean`.
        ignore_index: Label of pixels that do not count; their logits are not read, NaN included.
        loss_weight: Factor.

    Raises:
        ValueError: ``threshold`` or ``min_share`` is no share.
    """

    def __init__(
        self,
        threshold: float = 0.7,
        min_share: float = 1 / 16,
        ignore_index: int = 255,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < threshold <= 1 or not 0 <= min_share <= 1:
            raise ValueError(
                f"OhemCrossEntropy: threshold={threshold} and min_share={min_share} must be shares"
            )
        self.threshold, self.min_share = threshold, min_share
        self.ignore_index, self.loss_weight = ignore_index, loss_weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``(B, K, H, W)`` and ``(B, H, W)`` int64 -> a number."""
        logits = _hide_ignored(logits, labels, self.ignore_index)
        losses = _cross_entropy(logits, labels, self.ignore_index, reduction="none")
        is_counted: Tensor = torch.as_tensor(labels != self.ignore_index)
        limit = -math.log(self.threshold)
        return self.loss_weight * hard_pixel_mean(losses, is_counted, limit, self.min_share)


def _cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int, reduction: str) -> Tensor:
    """PyTorch's, ``(B, H, W)`` or its sum; in deterministic mode in a form that GPUs have, too."""
    if logits.is_cpu or not torch.are_deterministic_algorithms_enabled():
        return F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction=reduction)
    is_known = labels != ignore_index
    log_shares = logits.log_softmax(dim=1)
    picked = log_shares.gather(1, torch.where(is_known, labels, 0)[:, None])[:, 0]
    losses = torch.where(is_known, -picked, 0.0)
    return losses.sum() if reduction == "sum" else losses


def _hide_ignored(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Logits ``(B, K, H, W)`` in float32; hidden, as a NaN would reach gradients as 0 * NaN."""
    return logits.float().masked_fill((labels == ignore_index)[:, None], 0)

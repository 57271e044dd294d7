"""Suppression of upright rectangles ``(x1, y1, x2, y2)``: ``nms``, ``softnms``, ``nms_match``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gemini_det3d.ops.mmcv_ext import device
from gemini_det3d.ops.mmcv_ext.suppression import kept_of, pairs_of


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the kept boxes, best first.

    Args:
        boxes: ``(N, 4)``.
        scores: ``(N,)``.
        iou_threshold: A box that overlaps a better kept one by more is dropped.
        offset: 1 where the last pixel belongs to the box, else 0.

    Returns:
        ``(K,)`` int64.
    """
    order = scores.sort(dim=0, descending=True, stable=True).indices
    ranked = boxes[order].float()
    if device.takes_torch(boxes):
        return order[kept_of(_overlapping(ranked, iou_threshold, offset))]
    return order[torch.from_numpy(_suppressors(ranked, iou_threshold, offset, False) < 0)]


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of overlapped boxes instead of dropping them; CPU tensors.

    Args:
        boxes: ``(N, 4)``.
        scores: ``(N,)``.
        dets: ``(N, 5)``, written: the remaining boxes with their new scores, then leftovers.
        iou_threshold: From where on methods 0 and 1 act.
        sigma: Width of method 2's Gaussian.
        min_score: A box whose score falls below is dropped.
        method: 0 drops, 1 lowers linearly, 2 by a Gaussian.
        offset: 1 where the last pixel belongs to the box, else 0.

    Returns:
        ``(K,)`` int64, indices of the remaining boxes in order.
    """
    from gemini_det3d.ops._nms_numba import soften

    rows = torch.cat([boxes, scores[:, None]], dim=1).float().numpy()
    index = np.arange(len(rows))
    left = soften(rows, index, iou_threshold, sigma, min_score, method, offset)
    dets.copy_(torch.from_numpy(rows))
    return torch.from_numpy(index[:left])


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """For each kept box, itself and the boxes that it suppressed, best first; CPU tensors.

    Args:
        dets: ``(N, 5)`` boxes with scores.
        iou_threshold: An IoU of exactly this suppresses, too.
    """
    order = dets[:, 4].sort(dim=0, descending=True, stable=True).indices
    by = _suppressors(dets[order, :4].float(), iou_threshold, 0, True)
    groups: dict[int, list[int]] = {}
    for rank, (name, suppressor) in enumerate(zip(order.tolist(), by.tolist())):
        groups.setdefault(rank if suppressor < 0 else suppressor, []).append(name)
    return list(groups.values())


def _suppressors(ranked: Tensor, threshold: float, offset: int, inclusive: bool) -> np.ndarray:
    from gemini_det3d.ops._nms_numba import suppressors

    return suppressors(ranked.contiguous().numpy(), threshold, offset, inclusive)


def _overlapping(ranked: Tensor, threshold: float, offset: int) -> Tensor:
    """Pairs whose IoU exceeds the threshold: ``(N, N)`` bool."""
    areas = (ranked[:, 2:] - ranked[:, :2] + offset).prod(-1)

    def of_rows(rows: slice) -> Tensor:
        low = torch.maximum(ranked[rows, None, :2], ranked[None, :, :2])
        high = torch.minimum(ranked[rows, None, 2:], ranked[None, :, 2:])
        shared = (high - low + offset).clamp(min=0).prod(-1)
        return shared / (areas[rows, None] + areas - shared) > threshold

    return pairs_of(len(ranked), of_rows)

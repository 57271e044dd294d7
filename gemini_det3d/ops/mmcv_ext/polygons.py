"""Corners of the intersections of rotated boxes in order, for mmcv's differentiable IoU.

Shapes: B batches, N pairs of boxes; 24 candidates a pair: 8 corners, 16 crossings of sides.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_CORNERS = 8
# The polygon has at most eight corners; the first comes again at the end.
_PLACES = 9
# Candidates nearer than this are one corner.
_SAME = 1e-8


def diff_iou_rotated_sort_vertices_forward(
    vertices: Tensor, mask: Tensor, num_valid: Tensor
) -> Tensor:
    """Indices of the valid candidates, counter-clockwise from the x axis.

    Args:
        vertices: ``(B, N, 24, 2)``, centred on their mean.
        mask: ``(B, N, 24)`` bool, which are valid.
        num_valid: ``(B, N)``; not needed.

    Returns:
        ``(B, N, 9)`` int32: the polygon's corners, the first once more, then an invalid crossing,
        whose coordinates are 0. Equal corners count once, fewer than three are no polygon.
    """
    x, y = vertices.unbind(-1)
    angle = torch.where(mask, torch.atan2(y, x).remainder(2 * math.pi), torch.inf)
    order = angle.argsort(dim=-1, stable=True)
    valid = mask.gather(-1, order)
    around = vertices.gather(-2, order[..., None].expand_as(vertices))
    repeats = valid & _equals_an_earlier(around)
    distinct = (repeats | ~valid).to(torch.uint8).argsort(dim=-1, stable=True)
    order, count = order.gather(-1, distinct), (valid & ~repeats).sum(-1, keepdim=True)
    pad = _CORNERS + mask[..., _CORNERS:].to(torch.uint8).argmin(dim=-1, keepdim=True)
    place = torch.arange(_PLACES, device=vertices.device)
    index = torch.where(place < count, order[..., :_PLACES], pad)
    index = torch.where(place == count, order[..., :1], index)
    return torch.where(count < 3, pad, index).int()


def _equals_an_earlier(around: Tensor) -> Tensor:
    """Which of ``(..., P, 2)`` points, in order, lie on one before them: ``(..., P)`` bool."""
    near = ((around[..., :, None, :] - around[..., None, :, :]).abs() < _SAME).all(-1)
    return near.tril(-1).any(-1)

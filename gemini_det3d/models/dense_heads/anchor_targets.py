"""Which anchor answers for which box, for all frames at once and without asking the device.

The rule is mmdet3d's ``Max3DIoUAssigner`` on ``BboxOverlapsNearest3D``; there it runs frame by
frame, class by class and box by box, and the host waits for the device at every one of them.

Shapes: B frames, G boxes of the frame that has most, A anchors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from mmdet3d.structures.bbox_3d.utils import limit_period
from torch import Tensor

# Smallest union of two boxes, square metres: what mmdet's overlaps are divided by at least.
_MIN_UNION = 1e-6


@dataclass(frozen=True)
class Limits:
    """Overlaps that decide.

    Attributes:
        positive: From here on an anchor answers for the box that it overlaps most.
        negative: Below, it is background; between the two it is left out.
        min_positive: From here on a box's best anchors answer for it in any case.
    """

    positive: float
    negative: float
    min_positive: float


def nearest_bev(boxes: Tensor) -> Tensor:
    """Boxes seen from above, turned to the nearest axis.

    Args:
        boxes: ``(..., 7 or more)`` x, y, z, lengths, yaw (radians) in the LiDAR frame.

    Returns:
        ``(..., 4)`` x and y of the two corners, low ends first.
    """
    turned = limit_period(boxes[..., 6:7], 0.5, math.pi).abs() > math.pi / 4
    size = torch.where(turned, boxes[..., 3:5].flip(-1), boxes[..., 3:5])
    return torch.cat([boxes[..., :2] - size / 2, boxes[..., :2] + size / 2], dim=-1)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of axis-aligned boxes ``(..., 4)`` that broadcast: ``(...)``."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(dim=-1) for boxes in (first, second)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=_MIN_UNION)


def assign(iou: Tensor, valid: Tensor, limits: Limits) -> Tensor:
    """The box of each anchor.

    Args:
        iou: ``(B, G, A)`` overlaps of boxes and anchors.
        valid: ``(B, G)`` bool, the boxes that these anchors can answer for.
        limits: What overlap decides.

    Returns:
        ``(B, A)`` int64: number of the box, from 1; 0 for background; -1 for neither.
    """
    iou = iou.masked_fill(~valid[..., None], -1)
    most, box = iou.max(dim=1)
    assigned = (most < limits.negative).long() - 1
    assigned = torch.where(most >= limits.positive, box + 1, assigned)
    best = iou.amax(dim=2)
    is_best = (iou == best[..., None]) & (valid & (best >= limits.min_positive))[..., None]
    number = torch.arange(1, iou.shape[1] + 1, device=iou.device)[:, None]
    forced = (is_best * number).amax(dim=1)  # of several boxes the last one wins
    return torch.where(forced > 0, forced, assigned)

"""Points in upright 3D boxes, overlap of rectangles.

A box is x, y, z of the bottom centre, sizes along x, y, z before the turn, yaw. Sides do not belong
to it, bottom and top do. Reckoned in float64; compiled mmcv in float32, so a point within rounding
of a side may fall otherwise there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gemini_det3d.ops import _points_torch
from gemini_det3d.ops.mmcv_ext import device
from gemini_det3d.ops.points import points_in_boxes


def points_in_boxes_cpu_forward(
    boxes_tensor: Tensor, pts_tensor: Tensor, pts_indices_tensor: Tensor
) -> None:
    """``(T, 7)`` boxes, ``(N, 3)`` points -> ``(T, N)`` int32, 1 inside."""
    pts_indices_tensor.copy_(points_in_boxes(pts_tensor, boxes_tensor).T)


def points_in_boxes_all_forward(
    boxes_tensor: Tensor, pts_tensor: Tensor, box_idx_of_points_tensor: Tensor
) -> None:
    """``(B, T, 7)`` boxes, ``(B, N, 3)`` points -> ``(B, N, T)`` int32, 1 inside."""
    box_idx_of_points_tensor.copy_(inside(pts_tensor, boxes_tensor))


def points_in_boxes_part_forward(
    boxes_tensor: Tensor, pts_tensor: Tensor, box_idx_of_points_tensor: Tensor
) -> None:
    """The first box that holds each point: ``(B, N)`` int32, written where there is one."""
    held = inside(pts_tensor, boxes_tensor)
    if held.shape[-1]:
        box, count = _points_torch.first_true(held, 1)
        first = torch.where(count > 0, box[..., 0].to(torch.int32), box_idx_of_points_tensor)
        box_idx_of_points_tensor.copy_(first)


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """``(B, N, 3)`` points in ``(B, T, 7)`` boxes: ``(B, N, T)`` bool."""
    if device.takes_torch(points):
        return torch.stack([_points_torch.inside(p, b) for p, b in zip(points, boxes)])
    return torch.stack([points_in_boxes(p, b) for p, b in zip(points, boxes)]) > 0


def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    """Overlap of ``(N, 4)`` and ``(M, 4)`` rectangles ``(x1, y1, x2, y2)``.

    Args:
        bboxes1: ``(N, 4)``.
        bboxes2: ``(M, 4)``; ``(N, 4)`` where ``aligned``.
        ious: ``(N, M)`` or ``(N,)``, written.
        mode: 0 divides by the union, 1 by the first rectangle's area.
        aligned: Compare row i with row i only.
        offset: 1 where the last pixel belongs to the rectangle, else 0.
    """
    first = bboxes1 if aligned else bboxes1[:, None]
    low = torch.maximum(first[..., :2], bboxes2[..., :2])
    high = torch.minimum(first[..., 2:], bboxes2[..., 2:])
    shared = (high - low + offset).clamp(min=0).prod(-1)
    base, other = ((b[..., 2:] - b[..., :2] + offset).prod(-1) for b in (first, bboxes2))
    ious.copy_(shared / (base + other - shared if mode == 0 else base))

"""Rotated rectangles and upright 3D boxes: IoU, overlap, suppression.

Areas are exact to float64's rounding; compiled mmcv reckons in float32, and its iou3d kernels
count corners up to 1 cm outside a box as inside. Shapes: N, M boxes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gemini_det3d.ops.mmcv_ext import device
from gemini_det3d.ops.mmcv_ext.nms import _overlapping
from gemini_det3d.ops.mmcv_ext.suppression import kept_of, pairs_of

# Columns of an upright box (x, y, z, length, width, height, yaw) that are seen from above.
_FROM_ABOVE = [0, 1, 3, 4, 6]


def box_iou_rotated(
    boxes1: Tensor, boxes2: Tensor, ious: Tensor, mode_flag: int, aligned: bool
) -> None:
    """IoU of rotated rectangles.

    Args:
        boxes1: ``(N, 5)`` x, y, width, height, angle (radians).
        boxes2: ``(M, 5)``; ``(N, 5)`` where ``aligned``.
        ious: ``(N * M,)`` or ``(N,)``, written.
        mode_flag: 0 divides by the union, 1 by the first box's area.
        aligned: Compare row i with row i only.
    """
    shared = _shared_areas(boxes1, boxes2, aligned)
    ious.copy_(_divided(shared, boxes1, boxes2, mode_flag, aligned).flatten())


def nms_rotated(
    dets: Tensor,
    scores: Tensor,
    order: Tensor,
    dets_sorted: Tensor,
    labels: Tensor,
    iou_threshold: float,
    multi_label: bool,
) -> Tensor:
    """Indices of the kept rectangles, best first.

    As in compiled mmcv, an IoU of exactly the threshold suppresses on a CPU and does not on CUDA,
    and labels are not looked at (callers move boxes of other labels apart).

    Args:
        dets: ``(N, 5 or 6)`` x, y, width, height, angle (radians), and a label.
        scores: ``(N,)``.
        order: ``(N,)``, best first.
        dets_sorted: ``dets[order]``.
        labels: Not read.
        iou_threshold: A box that overlaps a better kept one by more is dropped.
        multi_label: Not read.

    Returns:
        ``(K,)`` int64.
    """
    del dets, scores, labels, multi_label
    return order[
        _kept(dets_sorted[:, :5], iou_threshold, inclusive=not device.takes_torch(dets_sorted))
    ]


def iou3d_boxes_overlap_bev_forward(boxes_a: Tensor, boxes_b: Tensor, ans_overlap: Tensor) -> None:
    """Areas that ``(N, 7)`` and ``(M, 7)`` upright boxes share from above, into ``(N, M)``."""
    ans_overlap.copy_(_shared_areas(_from_above(boxes_a), _from_above(boxes_b), False))


def iou3d_nms3d_forward(
    boxes: Tensor, keep: Tensor, num_out: Tensor, nms_overlap_thresh: float
) -> None:
    """Suppression by the IoU from above.

    Args:
        boxes: ``(N, 7)`` upright boxes, best first.
        keep: ``(N,)`` int64, written: rows of the kept boxes, then leftovers.
        num_out: ``()`` int64, written: how many were kept.
        nms_overlap_thresh: A box that overlaps a better kept one by more is dropped.
    """
    kept = _kept(_from_above(boxes), nms_overlap_thresh, inclusive=False)
    _write_rows(kept, keep, num_out)


def iou3d_nms3d_normal_forward(
    boxes: Tensor, keep: Tensor, num_out: Tensor, nms_overlap_thresh: float
) -> None:
    """The same with every yaw taken as 0."""
    half = boxes[:, 3:5] / 2
    upright = torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], dim=1)
    kept = kept_of(_overlapping(upright, nms_overlap_thresh, offset=0))
    _write_rows(kept, keep, num_out)


def _shared_areas(boxes_a: Tensor, boxes_b: Tensor, aligned: bool) -> Tensor:
    """``(N, 5)`` and ``(M, 5)`` -> ``(N, M)``, or ``(N,)`` where aligned; float64."""
    if device.takes_torch(boxes_a):
        from gemini_det3d.ops._rotated_torch import overlap_areas

        return overlap_areas(boxes_a[:, :5], boxes_b[:, :5], aligned)
    from gemini_det3d.ops._rotated_iou_numba import overlap_areas as on_cpu

    areas = torch.from_numpy(on_cpu(_upright(boxes_a), _upright(boxes_b), aligned))
    return areas[:, 0] if aligned else areas


def _kept(ranked: Tensor, threshold: float, inclusive: bool) -> Tensor:
    """Which ``(N, 5)`` rectangles, best first, greedy suppression keeps: ``(N,)`` bool."""
    if device.takes_torch(ranked):

        def of_rows(rows: slice) -> Tensor:
            shared = _shared_areas(ranked[rows], ranked, False)
            ious = _divided(shared, ranked[rows], ranked, 0, False).float()
            return ious >= threshold if inclusive else ious > threshold

        return kept_of(pairs_of(len(ranked), of_rows))
    from gemini_det3d.ops._rotated_iou_numba import suppressors

    return torch.from_numpy(suppressors(_upright(ranked), threshold, inclusive) < 0)


def _divided(shared: Tensor, boxes_a: Tensor, boxes_b: Tensor, mode: int, aligned: bool) -> Tensor:
    """Shared areas over unions (mode 0) or the first boxes' areas (1); 0 stays 0."""
    areas_a, areas_b = (boxes[:, 2].double() * boxes[:, 3] for boxes in (boxes_a, boxes_b))
    base = areas_a if aligned else areas_a[:, None].expand_as(shared)
    if mode == 0:
        base = base + areas_b - shared
    return torch.where(shared > 0, shared / base, shared)


def _from_above(boxes: Tensor) -> Tensor:
    """``(N, 7)`` upright boxes -> ``(N, 5)``; a list as index would wait for the device."""
    return torch.cat([boxes[:, :2], boxes[:, 3:5], boxes[:, 6:7]], dim=1)


def _upright(rectangles: Tensor) -> np.ndarray:
    """Rectangles as upright boxes of height 1, as the CPU kernels take them."""
    flat = rectangles.detach().double().numpy()
    boxes = np.zeros((len(flat), 7))
    boxes[:, _FROM_ABOVE], boxes[:, 5] = flat[:, :5], 1.0
    return boxes


def _write_rows(kept: Tensor, keep: Tensor, num_out: Tensor) -> None:
    rows = kept.nonzero()[:, 0]
    keep[: len(rows)] = rows
    num_out.fill_(len(rows))

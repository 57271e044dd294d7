"""Intersection over union of rotated boxes, exact to float64 rounding, on the CPU.

mmcv computes it in float32 and numba.cuda kernels lose identical boxes; here equal boxes give 1
(to 1e-12) and boxes without size 0. Angles are radians of any size, lengths share one unit.
NumPy arrays give NumPy arrays; torch tensors give float64 tensors on the device of the first.

Shapes: N, M boxes. BEV box: x, y, length, width, yaw (from +x towards +y).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, from_numpy

Array = np.ndarray | Tensor

_ORIGINS = ("bottom", "center")


def bev_iou(boxes_a: Array, boxes_b: Array, aligned: bool = False) -> Array:
    """IoU of rotated rectangles.

    Args:
        boxes_a: ``(N, 5)`` x, y, length, width, yaw.
        boxes_b: ``(M, 5)``; ``(N, 5)`` where ``aligned``.
        aligned: Compare row i with row i only.

    Returns:
        ``(N, M)``, or ``(N,)`` where ``aligned``; within [0, 1].

    Raises:
        ValueError: A shape that does not fit.
    """
    flat_a, flat_b = _checked(boxes_a, boxes_b, 5, aligned)
    return _like(_compare(_raised(flat_a), _raised(flat_b), aligned)[0], boxes_a)


def iou_3d(boxes_a: Array, boxes_b: Array, origin: str = "bottom", aligned: bool = False) -> Array:
    """IoU of upright boxes in mmdet3d's LiDAR (or depth) frame, z up.

    Args:
        boxes_a: ``(N, 7)`` x, y, z, length, width, height, yaw (from +x towards +y).
        boxes_b: ``(M, 7)``; ``(N, 7)`` where ``aligned``.
        origin: What z says: 'bottom' as mmdet3d's boxes have it, or 'center'.
        aligned: Compare row i with row i only.

    Returns:
        ``(N, M)``, or ``(N,)`` where ``aligned``; within [0, 1].

    Raises:
        ValueError: A shape that does not fit, or another ``origin``.
    """
    if origin not in _ORIGINS:
        raise ValueError(f"origin must be one of {_ORIGINS}, got {origin!r}")
    flat_a, flat_b = _checked(boxes_a, boxes_b, 7, aligned)
    if origin == "center":
        flat_a, flat_b = _lowered(flat_a), _lowered(flat_b)
    return _like(_compare(flat_a, flat_b, aligned)[1], boxes_a)


def iou_3d_camera(boxes_a: Array, boxes_b: Array, aligned: bool = False) -> Array:
    """IoU of upright boxes in mmdet3d's camera frame (x right, y down, z forward).

    Args:
        boxes_a: ``(N, 7)`` x, y, z of the bottom centre, length, height, width, rotation_y.
        boxes_b: ``(M, 7)``; ``(N, 7)`` where ``aligned``.
        aligned: Compare row i with row i only.

    Returns:
        ``(N, M)``, or ``(N,)`` where ``aligned``; within [0, 1].

    Raises:
        ValueError: A shape that does not fit.
    """
    flat_a, flat_b = _checked(boxes_a, boxes_b, 7, aligned)
    return _like(
        _compare(camera_to_upright(flat_a), camera_to_upright(flat_b), aligned)[1], boxes_a
    )


def camera_to_upright(boxes: np.ndarray) -> np.ndarray:
    """Camera boxes with the ground plane as x, y and the third axis up.

    KITTI turns ``rotation_y`` around an axis that points down, hence the sign.

    Args:
        boxes: ``(N, 7)`` x, y, z of the bottom centre, length, height, width, rotation_y.

    Returns:
        ``(N, 7)`` x, z, -y, length, width, height, -rotation_y.
    """
    return boxes[:, [0, 2, 1, 3, 5, 4, 6]] * np.array([1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0])


def grouped_iou(
    boxes_a: np.ndarray, counts_a: np.ndarray, boxes_b: np.ndarray, counts_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """IoU of all pairs within each group (frame), from above and of volumes, in one pass.

    Args:
        boxes_a: ``(N, 7)`` upright boxes (z up, at the bottom), group after group.
        counts_a: ``(G,)`` boxes of each group, summing to N.
        boxes_b: ``(M, 7)``, likewise.
        counts_b: ``(G,)``, summing to M.

    Returns:
        Two ``(P,)``, ``P = sum(counts_a * counts_b)``: group after group, a's boxes the slow axis.
    """
    from gemini_det3d.ops._rotated_iou_numba import grouped_pairs

    flat_a, flat_b = _checked(boxes_a, boxes_b, 7, aligned=False)
    counts_a, counts_b = np.asarray(counts_a, np.int64), np.asarray(counts_b, np.int64)
    if counts_a.shape != counts_b.shape:
        raise ValueError(f"{len(counts_a)} groups of a, {len(counts_b)} of b")
    for counts, boxes, name in ((counts_a, flat_a, "a"), (counts_b, flat_b, "b")):
        if counts.sum() != len(boxes):
            raise ValueError(f"counts_{name} sum to {counts.sum()}, boxes_{name} are {len(boxes)}")
    return grouped_pairs(
        flat_a, starts(counts_a), flat_b, starts(counts_b), starts(counts_a * counts_b)
    )


def starts(counts: np.ndarray) -> np.ndarray:
    """First row of each group and the total: ``(G,)`` counts -> ``(G + 1,)`` int64."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _compare(
    boxes_a: np.ndarray, boxes_b: np.ndarray, aligned: bool
) -> tuple[np.ndarray, np.ndarray]:
    from gemini_det3d.ops._rotated_iou_numba import all_pairs, matching_pairs

    compare = matching_pairs if aligned else all_pairs
    return compare(np.ascontiguousarray(boxes_a), np.ascontiguousarray(boxes_b))


def _checked(
    boxes_a: Array, boxes_b: Array, columns: int, aligned: bool
) -> tuple[np.ndarray, np.ndarray]:
    flat_a, flat_b = _to_numpy(boxes_a), _to_numpy(boxes_b)
    for name, boxes in (("boxes_a", flat_a), ("boxes_b", flat_b)):
        if boxes.ndim != 2 or boxes.shape[1] != columns:
            raise ValueError(f"{name} must be (N, {columns}), got {boxes.shape}")
    if aligned and len(flat_a) != len(flat_b):
        raise ValueError(f"aligned needs as many boxes, got {len(flat_a)} and {len(flat_b)}")
    return flat_a, flat_b


def _to_numpy(boxes: Any) -> np.ndarray:
    if isinstance(boxes, Tensor):
        boxes = boxes.detach().cpu().double().numpy()
    return np.ascontiguousarray(boxes, dtype=np.float64)


def _like(values: np.ndarray, given: Array) -> Array:
    return from_numpy(values).to(given.device) if isinstance(given, Tensor) else values


def _raised(boxes: np.ndarray) -> np.ndarray:
    """BEV boxes as upright boxes of height 1."""
    count = len(boxes)
    return np.column_stack(
        [boxes[:, :2], np.zeros(count), boxes[:, 2:4], np.ones(count), boxes[:, 4]]
    )


def _lowered(boxes: np.ndarray) -> np.ndarray:
    """Boxes whose z is the centre -> z at the bottom."""
    lowered = boxes.copy()
    lowered[:, 2] -= 0.5 * boxes[:, 5]
    return lowered

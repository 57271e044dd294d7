"""Numba kernels of non-maximum suppression of upright rectangles ``(x1, y1, x2, y2)``; float32."""

from __future__ import annotations

import numpy as np

from gemini_det3d.ops._numba import jit


@jit
def _iou(boxes, i, j, offset):
    """IoU of two rows; ``offset`` 1 counts the last pixel as part of the box."""
    width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0]) + offset
    height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1]) + offset
    shared = max(width, np.float32(0.0)) * max(height, np.float32(0.0))
    area_i = (boxes[i, 2] - boxes[i, 0] + offset) * (boxes[i, 3] - boxes[i, 1] + offset)
    area_j = (boxes[j, 2] - boxes[j, 0] + offset) * (boxes[j, 3] - boxes[j, 1] + offset)
    return shared / (area_i + area_j - shared)


@jit
def suppressors(boxes, threshold, offset, inclusive):
    """Greedy suppression of ``(N, 4)`` boxes, best first.

    For each box the better one that suppressed it, or -1 where it was kept. ``inclusive``: an IoU
    of exactly the threshold suppresses, too.
    """
    by = np.full(len(boxes), -1, dtype=np.int64)
    limit, step = np.float32(threshold), np.float32(offset)
    for i in range(len(boxes)):
        if by[i] >= 0:
            continue
        for j in range(i + 1, len(boxes)):
            if by[j] < 0:
                iou = _iou(boxes, i, j, step)
                if iou > limit or (inclusive and iou == limit):
                    by[j] = i
    return by


@jit
def soften(rows, index, threshold, sigma, min_score, method, offset):
    """Soft suppression (Bodla et al., ICCV 2017) of ``(N, 5)`` rows of box and score, in place.

    The best of the rest comes next and lowers the scores of what it overlaps: to 0 (method 0), by
    ``1 - IoU`` (1), both from ``threshold`` on, or by a Gaussian (2). A row below ``min_score``
    gives its place to the last one.

    Returns:
        How many rows remain, in order; ``index`` is reordered along with them.
    """
    left, step, one = len(rows), np.float32(offset), np.float32(1.0)
    limit, width = np.float32(threshold), np.float32(sigma)
    i = 0
    while i < left:
        _swap(rows, index, i, i + np.argmax(rows[i:left, 4]))
        j = i + 1
        while j < left:
            iou, weight = _iou(rows, i, j, step), one
            if method == 2:
                weight = np.exp(-(iou * iou) / width)
            elif iou >= limit:
                weight = one - iou if method == 1 else np.float32(0.0)
            rows[j, 4] *= weight
            if rows[j, 4] < np.float32(min_score):
                left -= 1
                rows[j], index[j] = rows[left], index[left]
            else:
                j += 1
        i += 1
    return left


@jit
def _swap(rows, index, i, j):
    """Exchange two rows and their names."""
    for column in range(rows.shape[1]):
        rows[i, column], rows[j, column] = rows[j, column], rows[i, column]
    index[i], index[j] = index[j], index[i]

"""Numba kernels of :mod:`gemini_det3d.ops.rotated_iou`; float64 throughout.

The overlap of two rectangles: one is taken as the axis-aligned frame, centred on 0, and the other
is cut by its four sides in turn. Each cut computes only the coordinate along the side (the other
one *is* the side), so parallel, touching and identical sides need no tolerance, and all lengths
are relative to the first rectangle's centre, so distance from the origin costs no digits.

An upright box is (x, y, z of the bottom, length, width, height, yaw), z up.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.ops._numba import jit

# Four corners, and a cut of a convex outline adds one; rounding may make it touch a side more
# often, but an edge never yields more than two corners and only half of them can leave and enter.
_MAX_CORNERS = 24


@jit
def _cut(points, count, axis, sign, half, out):
    """Keep the part of an outline where ``sign * coordinate[axis] <= half``."""
    other = 1 - axis
    kept = 0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        inside_i = half - sign * points[i, axis]
        inside_j = half - sign * points[j, axis]
        if inside_i >= 0.0:
            out[kept, 0] = points[i, 0]
            out[kept, 1] = points[i, 1]
            kept += 1
        if (inside_i >= 0.0) != (inside_j >= 0.0):
            share = inside_i / (inside_i - inside_j)
            out[kept, axis] = sign * half
            out[kept, other] = points[i, other] + share * (points[j, other] - points[i, other])
            kept += 1
    return kept


@jit
def _area(points, count):
    """Area of an outline, seen from its first corner."""
    twice = 0.0
    for i in range(1, count - 1):
        ax, ay = points[i, 0] - points[0, 0], points[i, 1] - points[0, 1]
        bx, by = points[i + 1, 0] - points[0, 0], points[i + 1, 1] - points[0, 1]
        twice += ax * by - ay * bx
    return abs(twice) * 0.5


@jit
def _reaches(boxes):
    """Radius of each circumcircle seen from above; NaN for a box without area or with a NaN."""
    reaches = np.empty(len(boxes))
    for i in range(len(boxes)):
        length, width = boxes[i, 3], boxes[i, 4]
        usable = length > 0.0 and width > 0.0
        for column in range(7):
            usable = usable and np.isfinite(boxes[i, column])
        reaches[i] = 0.5 * np.sqrt(length * length + width * width) if usable else np.nan
    return reaches


@jit
def _rectangle_overlap(a, i, b, j, ping, pong):
    """Area shared by boxes ``a[i]`` and ``b[j]`` seen from above."""
    dx, dy = b[j, 0] - a[i, 0], b[j, 1] - a[i, 1]
    cos_a, sin_a = np.cos(a[i, 6]), np.sin(a[i, 6])
    center_x = cos_a * dx + sin_a * dy
    center_y = cos_a * dy - sin_a * dx
    turn = b[j, 6] - a[i, 6]
    cos, sin = np.cos(turn), np.sin(turn)
    for corner in range(4):
        along = 0.5 * b[j, 3] if corner == 0 or corner == 3 else -0.5 * b[j, 3]
        across = 0.5 * b[j, 4] if corner < 2 else -0.5 * b[j, 4]
        ping[corner, 0] = center_x + cos * along - sin * across
        ping[corner, 1] = center_y + sin * along + cos * across
    half_length, half_width = 0.5 * a[i, 3], 0.5 * a[i, 4]
    count = _cut(ping, 4, 0, 1.0, half_length, pong)
    count = _cut(pong, count, 0, -1.0, half_length, ping)
    count = _cut(ping, count, 1, 1.0, half_width, pong)
    count = _cut(pong, count, 1, -1.0, half_width, ping)
    if count < 3:
        return 0.0
    return min(_area(ping, count), a[i, 3] * a[i, 4], b[j, 3] * b[j, 4])


@jit
def _near(a, i, b, j, reach):
    """Whether two circumcircles meet; small, so that it is inlined where most pairs end."""
    dx, dy = b[j, 0] - a[i, 0], b[j, 1] - a[i, 1]
    return dx * dx + dy * dy < reach * reach


@jit
def _pair(a, i, b, j, ping, pong):
    """IoU from above and of volumes of boxes ``a[i]`` and ``b[j]``, both with an area."""
    overlap = _rectangle_overlap(a, i, b, j, ping, pong)
    if not overlap > 0.0:
        return 0.0, 0.0
    area_a, area_b = a[i, 3] * a[i, 4], b[j, 3] * b[j, 4]
    bev = overlap / (area_a + area_b - overlap)
    # Seen from the first bottom, so that equal boxes share exactly their height at any altitude.
    lift = b[j, 2] - a[i, 2]
    height_a, height_b = a[i, 5], b[j, 5]
    shared_height = min(height_a, lift + height_b) - max(0.0, lift)
    if not (shared_height > 0.0 and height_a > 0.0 and height_b > 0.0):
        return bev, 0.0
    shared = overlap * min(shared_height, height_b)
    return bev, shared / (area_a * height_a + area_b * height_b - shared)


@jit
def all_pairs(boxes_a, boxes_b):
    """``(N, 7)`` x ``(M, 7)`` upright boxes -> two ``(N, M)``: from above, of volumes."""
    ping, pong = np.empty((_MAX_CORNERS, 2)), np.empty((_MAX_CORNERS, 2))
    bev = np.zeros((len(boxes_a), len(boxes_b)))
    volume = np.zeros((len(boxes_a), len(boxes_b)))
    reach_a, reach_b = _reaches(boxes_a), _reaches(boxes_b)
    for i in range(len(boxes_a)):
        for j in range(len(boxes_b)):
            if _near(boxes_a, i, boxes_b, j, reach_a[i] + reach_b[j]):
                bev[i, j], volume[i, j] = _pair(boxes_a, i, boxes_b, j, ping, pong)
    return bev, volume


@jit
def matching_pairs(boxes_a, boxes_b):
    """``(N, 7)`` and ``(N, 7)`` upright boxes, row by row -> two ``(N,)``."""
    ping, pong = np.empty((_MAX_CORNERS, 2)), np.empty((_MAX_CORNERS, 2))
    bev, volume = np.zeros(len(boxes_a)), np.zeros(len(boxes_a))
    reach_a, reach_b = _reaches(boxes_a), _reaches(boxes_b)
    for i in range(len(boxes_a)):
        if _near(boxes_a, i, boxes_b, i, reach_a[i] + reach_b[i]):
            bev[i], volume[i] = _pair(boxes_a, i, boxes_b, i, ping, pong)
    return bev, volume


@jit
def grouped_pairs(boxes_a, starts_a, boxes_b, starts_b, starts_pairs):
    """All pairs within each group; group g of a is rows ``starts_a[g]:starts_a[g + 1]``."""
    ping, pong = np.empty((_MAX_CORNERS, 2)), np.empty((_MAX_CORNERS, 2))
    bev, volume = np.zeros(starts_pairs[-1]), np.zeros(starts_pairs[-1])
    reach_a, reach_b = _reaches(boxes_a), _reaches(boxes_b)
    for group in range(len(starts_a) - 1):
        pair = starts_pairs[group]
        for i in range(starts_a[group], starts_a[group + 1]):
            for j in range(starts_b[group], starts_b[group + 1]):
                if _near(boxes_a, i, boxes_b, j, reach_a[i] + reach_b[j]):
                    bev[pair], volume[pair] = _pair(boxes_a, i, boxes_b, j, ping, pong)
                pair += 1
    return bev, volume


@jit
def overlap_areas(boxes_a, boxes_b, aligned):
    """Areas shared from above: ``(N, M)`` of all pairs, ``(N, 1)`` row by row where aligned."""
    ping, pong = np.empty((_MAX_CORNERS, 2)), np.empty((_MAX_CORNERS, 2))
    areas = np.zeros((len(boxes_a), 1 if aligned else len(boxes_b)))
    reach_a, reach_b = _reaches(boxes_a), _reaches(boxes_b)
    for i in range(len(boxes_a)):
        for k in range(areas.shape[1]):
            j = i if aligned else k
            if _near(boxes_a, i, boxes_b, j, reach_a[i] + reach_b[j]):
                areas[i, k] = _rectangle_overlap(boxes_a, i, boxes_b, j, ping, pong)
    return areas


@jit
def suppressors(boxes, threshold, inclusive):
    """Greedy suppression of ``(N, 7)`` boxes, best first, by their IoU from above as float32.

    For each box the better one that suppressed it, or -1 where it was kept. ``inclusive``: an IoU
    of exactly the threshold suppresses, too.
    """
    ping, pong = np.empty((_MAX_CORNERS, 2)), np.empty((_MAX_CORNERS, 2))
    by = np.full(len(boxes), -1, dtype=np.int64)
    reach, limit = _reaches(boxes), np.float32(threshold)
    for i in range(len(boxes)):
        if by[i] >= 0:
            continue
        for j in range(i + 1, len(boxes)):
            if by[j] >= 0:
                continue
            iou = 0.0
            if _near(boxes, i, boxes, j, reach[i] + reach[j]):
                iou = _pair(boxes, i, boxes, j, ping, pong)[0]
            rounded = np.float32(iou)
            if rounded > limit or (inclusive and rounded == limit):
                by[j] = i
    return by

"""Numba kernels of :mod:`gemini_det3d.ops.points`; one frame at a time, float32 throughout.

Distances are ``(dx * dx + dy * dy) + dz * dz``, rounded at every step as torch rounds them, so the
choices made here are those of the plain loops.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.ops._numba import jit


@jit
def _gap(low, high, place):
    """Distance from a place to an interval along one axis."""
    return max(max(low - place, place - high), np.float32(0.0))


@jit
def _run_bounds(points, run_length, bounds):
    """Box around each run of ``run_length`` consecutive points: ``(runs, 6)``."""
    for run in range(len(bounds)):
        first = run * run_length
        last = min(first + run_length, len(points))
        for axis in range(3):
            low = high = points[first, axis]
            for i in range(first + 1, last):
                low, high = min(low, points[i, axis]), max(high, points[i, axis])
            bounds[run, axis], bounds[run, axis + 3] = low, high


@jit
def _approach(points, names, first, last, x, y, z, nearest):
    """Take a new sample into account; the run's farthest point and its distance."""
    far, where = np.float32(-1.0), first
    for i in range(first, last):
        dx, dy, dz = points[i, 0] - x, points[i, 1] - y, points[i, 2] - z
        squared = dx * dx + dy * dy + dz * dz
        if squared < nearest[i]:
            nearest[i] = squared
        if nearest[i] > far or (nearest[i] == far and names[i] < names[where]):
            far, where = nearest[i], i
    return far, where


@jit
def farthest(points, names, run_length, chosen):
    """Greedy farthest points of ``(N, 3)`` points that lie along a space-filling curve.

    ``names`` are their original indices; ties go to the lowest. A run whose box is farther from
    the new sample than all its points are from the old ones is left alone. Rounding is monotonic,
    so the box's distance never exceeds that of a point inside it, and nothing is missed.
    """
    num_runs = (len(points) + run_length - 1) // run_length
    bounds = np.empty((num_runs, 6), dtype=np.float32)
    _run_bounds(points, run_length, bounds)
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    far = np.full(num_runs, np.inf, dtype=np.float32)
    where = np.zeros(num_runs, dtype=np.int64)
    sample = 0
    for i in range(len(names)):
        if names[i] == 0:
            sample = i
    for count in range(len(chosen)):
        chosen[count] = names[sample]
        x, y, z = points[sample, 0], points[sample, 1], points[sample, 2]
        best = 0
        for run in range(num_runs):
            gx = _gap(bounds[run, 0], bounds[run, 3], x)
            gy = _gap(bounds[run, 1], bounds[run, 4], y)
            gz = _gap(bounds[run, 2], bounds[run, 5], z)
            if gx * gx + gy * gy + gz * gz < far[run]:
                first = run * run_length
                last = min(first + run_length, len(points))
                far[run], where[run] = _approach(points, names, first, last, x, y, z, nearest)
            if far[run] > far[best] or (
                far[run] == far[best] and names[where[run]] < names[where[best]]
            ):
                best = run
        sample = where[best]


@jit
def balls(points, centers, low, high, out):
    """The first points of each ball in the order of their indices; ``low``, ``high`` squared."""
    for m in range(len(centers)):
        x, y, z = centers[m, 0], centers[m, 1], centers[m, 2]
        count = 0
        for i in range(len(points)):
            dx, dy, dz = x - points[i, 0], y - points[i, 1], z - points[i, 2]
            squared = dx * dx + dy * dy + dz * dz
            if squared == 0.0 or (low <= squared < high):
                out[m, count] = i
                count += 1
                if count == out.shape[1]:
                    break
        filler = out[m, 0] if count else 0
        for k in range(count, out.shape[1]):
            out[m, k] = filler


@jit
def nearest_three(targets, sources, squared, index):
    """The three nearest sources of each target, near to far, the lower index first."""
    for n in range(len(targets)):
        a = b = c = np.float32(np.inf)
        ia = ib = ic = 0
        for m in range(len(sources)):
            dx = targets[n, 0] - sources[m, 0]
            dy = targets[n, 1] - sources[m, 1]
            dz = targets[n, 2] - sources[m, 2]
            d = dx * dx + dy * dy + dz * dz
            if d < a:
                a, b, c, ia, ib, ic = d, a, b, m, ia, ib
            elif d < b:
                b, c, ib, ic = d, b, m, ib
            elif d < c:
                c, ic = d, m
        squared[n, 0], squared[n, 1], squared[n, 2] = a, b, c
        index[n, 0], index[n, 1], index[n, 2] = ia, ib, ic


@jit
def inside(x, y, z, boxes, out):
    """Which of M points lie in which of ``(T, 7)`` upright boxes: ``(T, M)``.

    Without a branch and over contiguous rows, so that the compiler takes several points at once.
    """
    for t in range(len(boxes)):
        cos, sin = np.cos(boxes[t, 6]), np.sin(boxes[t, 6])
        half_x, half_y, half_z = 0.5 * boxes[t, 3], 0.5 * boxes[t, 4], 0.5 * boxes[t, 5]
        center_x, center_y, bottom = boxes[t, 0], boxes[t, 1], boxes[t, 2]
        row = out[t]
        for m in range(len(x)):
            dx, dy, dz = x[m] - center_x, y[m] - center_y, z[m] - bottom - half_z
            along, across = cos * dx + sin * dy, cos * dy - sin * dx
            row[m] = (abs(dz) <= half_z) & (abs(along) < half_x) & (abs(across) < half_y)

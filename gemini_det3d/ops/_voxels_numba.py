"""Numba kernels of voxels on a CPU: one pass over the points and nothing in between."""

from __future__ import annotations

import numpy as np

from gemini_det3d.ops._numba import jit


@jit
def cells(points, low, size, count, out):
    """Cell of each point, -1 along every axis outside the grid.

    Args:
        points: ``(N, C)``, x, y, z first.
        low: ``(D,)`` low corner.
        size: ``(D,)`` size of a cell.
        count: ``(D,)`` cells along each axis.
        out: ``(N, D)`` int32, written, the last axis first.
    """
    axes = len(low)
    for i in range(len(points)):
        for axis in range(axes):
            cell = np.floor((points[i, axis] - low[axis]) / size[axis])
            if not (cell >= 0 and cell < count[axis]):  # NaN is in no cell
                for each in range(axes):
                    out[i, each] = -1
                break
            out[i, axes - 1 - axis] = np.int32(cell)


@jit
def largest(features, of_point, out, first):
    """Largest value of each channel among a voxel's points, and the first point that has it.

    Args:
        features: ``(N, C)``; a NaN is larger than every number.
        of_point: ``(N,)`` voxel of each point.
        out: ``(M, C)``, written.
        first: ``(M, C)`` int32, written; -1 before the call.
    """
    for i in range(len(features)):
        voxel = of_point[i]
        for c in range(features.shape[1]):
            value, most = features[i, c], out[voxel, c]
            if first[voxel, c] < 0 or value > most or (np.isnan(value) and not np.isnan(most)):
                out[voxel, c] = value
                first[voxel, c] = i


@jit
def give_to_first(grad, first, out):
    """The way back of :func:`largest`: each voxel's gradient to the point that was largest.

    Args:
        grad: ``(M, C)``.
        first: ``(M, C)`` int32.
        out: ``(N, C)``, zeros before the call, written.
    """
    for voxel in range(len(grad)):
        for c in range(grad.shape[1]):
            if first[voxel, c] >= 0:  # a voxel without a point has nobody to give it to
                out[first[voxel, c], c] = grad[voxel, c]

"""Numba kernels of RoIAlign's mean on a CPU, channel last: a sample is four rows of channels.

Samples of a bin lie on a grid, so rows and columns are given apart, each as ``(starts, low, high,
low_weight, high_weight)``: samples ``starts[k]`` to ``starts[k + 1]`` belong to bin k, counted over
all regions, and read two neighbours of the map.

Shapes: B images, H W pixels, C channels, R regions, P Q bins.
"""

from __future__ import annotations

from gemini_det3d.ops._numba import jit


@jit
def mean(maps, image, rows, columns, out):
    """``(B, H, W, C)`` maps into ``(R, P, Q, C)`` zeros; ``image`` is ``(R,)``."""
    y_starts, y_low, y_high, y_near, y_far = rows
    x_starts, x_low, x_high, x_near, x_far = columns
    _, num_rows, num_columns, channels = out.shape
    for r in range(len(image)):
        page = maps[image[r]]
        for p in range(num_rows):
            top, bottom = y_starts[r * num_rows + p], y_starts[r * num_rows + p + 1]
            for q in range(num_columns):
                left, right = x_starts[r * num_columns + q], x_starts[r * num_columns + q + 1]
                total = out[r, p, q]
                for i in range(top, bottom):
                    for j in range(left, right):
                        a, b = page[y_low[i], x_low[j]], page[y_low[i], x_high[j]]
                        c, d = page[y_high[i], x_low[j]], page[y_high[i], x_high[j]]
                        of_a, of_b = y_near[i] * x_near[j], y_near[i] * x_far[j]
                        of_c, of_d = y_far[i] * x_near[j], y_far[i] * x_far[j]
                        for k in range(channels):
                            total[k] += of_a * a[k] + of_b * b[k] + of_c * c[k] + of_d * d[k]
                count = max((bottom - top) * (right - left), 1)
                for k in range(channels):
                    total[k] /= count


@jit
def _add(row, weight, grad):
    for k in range(len(row)):
        row[k] += weight * grad[k]


@jit
def mean_backward(grad, image, rows, columns, maps):
    """Gradient of :func:`mean`: ``(R, P, Q, C)`` added to ``(B, H, W, C)``; ``grad`` is spoilt."""
    y_starts, y_low, y_high, y_near, y_far = rows
    x_starts, x_low, x_high, x_near, x_far = columns
    _, num_rows, num_columns, channels = grad.shape
    for r in range(len(image)):
        page = maps[image[r]]
        for p in range(num_rows):
            top, bottom = y_starts[r * num_rows + p], y_starts[r * num_rows + p + 1]
            for q in range(num_columns):
                left, right = x_starts[r * num_columns + q], x_starts[r * num_columns + q + 1]
                count = max((bottom - top) * (right - left), 1)
                share = grad[r, p, q]
                for k in range(channels):
                    share[k] /= count
                for i in range(top, bottom):
                    for j in range(left, right):
                        _add(page[y_low[i], x_low[j]], y_near[i] * x_near[j], share)
                        _add(page[y_low[i], x_high[j]], y_near[i] * x_far[j], share)
                        _add(page[y_high[i], x_low[j]], y_far[i] * x_near[j], share)
                        _add(page[y_high[i], x_high[j]], y_far[i] * x_far[j], share)

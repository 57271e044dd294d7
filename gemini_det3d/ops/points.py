"""What PointNet++ (Qi et al., NeurIPS 2017) does with point sets, on CPU and CUDA.

Sampling, neighbourhoods, reading features at them, and points in boxes. Features are read by torch
indexing; for the rest CPU tensors take numba kernels, CUDA tensors mmcv's ops, whose results these
are (where several points are equally near or far, the lowest index is taken here; the choice of
compiled mmcv depends on the launch).

Shapes: B frames, N points, M centres, K members of a ball, C channels. Indices are int32.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Consecutive points on the curve that are skipped together.
_RUN_LENGTH = 32
# Cells of the space-filling curve along each axis.
_CURVE_CELLS = 1024


def farthest_points(points: Tensor, num: int) -> Tensor:
    """Greedy farthest point sampling, starting with point 0.

    Exactly the loop that takes, ``num`` times, the point farthest from all taken before (the
    lowest index among equals). Once every distance is zero that is point 0, so with fewer points
    than asked the rest of the answer is 0.

    Args:
        points: ``(B, N, 3)``.
        num: How many.

    Returns:
        ``(B, num)`` int32.

    Raises:
        ValueError: No points to choose from, or coordinates that are not finite.
    """
    _check(points, "points", 3)
    if points.shape[1] == 0 or num < 1:
        raise ValueError(f"cannot sample {num} of {points.shape[1]} points")
    if points.is_cuda:
        from mmcv.ops import furthest_point_sample

        return furthest_point_sample(points.float().contiguous(), num)
    if not torch.isfinite(points).all():
        raise ValueError("points hold values that are not finite")
    chosen = np.empty((points.shape[0], num), dtype=np.int32)
    for frame, row in zip(_arrays(points), chosen):
        _farthest(frame, row)
    return torch.from_numpy(chosen)


def ball_query(
    points: Tensor, centers: Tensor, radius: float, num: int, min_radius: float = 0.0
) -> Tensor:
    """Up to ``num`` points around each centre, in the order of their indices.

    A point belongs to a ball from ``min_radius`` (inclusive) to ``radius`` (exclusive) of its
    centre, or exactly at it. The first member fills the places that are left; an empty ball is
    filled with 0.

    Args:
        points: ``(B, N, 3)``.
        centers: ``(B, M, 3)``.
        radius: Metres.
        num: K.
        min_radius: Metres.

    Returns:
        ``(B, M, K)`` int32.

    Raises:
        ValueError: Shapes that do not fit, radii that do not rise, or ``num`` below 1.
    """
    _check(points, "points", 3)
    _check(centers, "centers", 3)
    _check_frames(points=points, centers=centers)
    if num < 1:
        raise ValueError(f"num must be 1 or more members of a ball, got {num}")
    if not 0 <= min_radius < radius:
        raise ValueError(f"need 0 <= min_radius < radius, got {min_radius} and {radius}")
    if points.is_cuda:
        from mmcv.ops import ball_query as cuda_ball_query

        return cuda_ball_query(
            min_radius, radius, num, points.float().contiguous(), centers.float().contiguous()
        )
    from gemini_det3d.ops._points_numba import balls

    out = np.empty((*centers.shape[:2], num), dtype=np.int32)
    low, high = np.float32(min_radius) ** 2, np.float32(radius) ** 2
    for frame, around, row in zip(_arrays(points), _arrays(centers), out):
        balls(frame, around, low, high, row)
    return torch.from_numpy(out)


def gather_points(features: Tensor, indices: Tensor) -> Tensor:
    """Features of chosen points, with gradients: ``(B, C, N)``, ``(B, M)`` -> ``(B, C, M)``.

    Raises:
        ValueError: Shapes that do not fit.
    """
    _check_indices(features, indices, "(B, M)")
    where = indices.long()[:, None].expand(-1, features.shape[1], -1)
    return features.gather(2, where)


def group_points(features: Tensor, indices: Tensor) -> Tensor:
    """The same of each ball's members: ``(B, C, N)``, ``(B, M, K)`` -> ``(B, C, M, K)``.

    Raises:
        ValueError: Shapes that do not fit.
    """
    _check_indices(features, indices, "(B, M, K)")
    flat = gather_points(features, indices.flatten(1))
    return flat.reshape(*flat.shape[:2], *indices.shape[1:])


def three_nn(targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """The three sources nearest to each target, near to far; equals by rising index.

    With fewer than three sources the missing ones have distance infinity and index 0, so that a
    weight that falls with the distance gives them nothing.

    Args:
        targets: ``(B, N, 3)``.
        sources: ``(B, M, 3)``.

    Returns:
        ``(B, N, 3)`` distances and ``(B, N, 3)`` int32 indices; no gradient.

    Raises:
        ValueError: Shapes that do not fit, or no source.
    """
    _check(targets, "targets", 3)
    _check(sources, "sources", 3)
    _check_frames(targets=targets, sources=sources)
    if sources.shape[1] == 0:
        raise ValueError("there are no sources to interpolate from")
    if targets.is_cuda:
        from mmcv.ops import three_nn as cuda_three_nn

        return cuda_three_nn(targets.float(), sources.float())
    squared, index = nearest_three(targets, sources)
    return squared.sqrt(), index


def nearest_three(targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`three_nn` of CPU tensors with squared distances.

    Raises:
        ValueError: The frames of targets and sources are not equally many.
    """
    _check_frames(targets=targets, sources=sources)
    from gemini_det3d.ops import _points_numba

    squared = np.empty(targets.shape, dtype=np.float32)
    index = np.empty(targets.shape, dtype=np.int32)
    for frame, others, a, b in zip(_arrays(targets), _arrays(sources), squared, index):
        _points_numba.nearest_three(frame, others, a, b)
    return torch.from_numpy(squared), torch.from_numpy(index)


def three_interpolate(features: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the features of three sources, with gradients.

    Args:
        features: ``(B, C, M)``.
        indices: ``(B, N, 3)``.
        weights: ``(B, N, 3)``.

    Returns:
        ``(B, C, N)``.

    Raises:
        ValueError: Shapes that do not fit.
    """
    if weights.shape != indices.shape:
        shapes = f"{tuple(indices.shape)} and {tuple(weights.shape)}"
        raise ValueError(f"indices and weights must have one shape (B, N, 3), got {shapes}")
    return (group_points(features, indices) * weights[:, None]).sum(-1)


def points_in_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """Which points lie in which boxes: strictly inside seen from above, bottom and top included.

    Args:
        points: ``(M, 3 or more)`` in a frame with z up.
        boxes: ``(T, 7 or more)`` x, y, z of the bottom centre, sizes along x, y, z before the
            turn, yaw (radians, from +x towards +y).

    Returns:
        ``(M, T)`` int32, 1 inside and 0 outside; a box without size holds nothing.

    Raises:
        ValueError: Points or boxes with fewer columns.
    """
    for name, rows, columns in (("points", points, 3), ("boxes", boxes, 7)):
        if rows.ndim != 2 or rows.shape[1] < columns:
            fault = f"must have {columns} columns or more, got {tuple(rows.shape)}"
            raise ValueError(f"{name} {fault}")
    if points.is_cuda:
        from mmcv.ops import points_in_boxes_all

        return points_in_boxes_all(points[None, :, :3].float(), boxes[None, :, :7].float())[0]
    from gemini_det3d.ops._points_numba import inside

    out = np.empty((boxes.shape[0], points.shape[0]), dtype=np.int32)
    x, y, z = _array(points[:, :3].T, np.float64)
    inside(x, y, z, _array(boxes[:, :7], np.float64), out)
    return torch.from_numpy(out).T


def _farthest(frame: np.ndarray, chosen: np.ndarray) -> None:
    from gemini_det3d.ops._points_numba import farthest

    order = np.argsort(_curve_keys(frame), kind="stable")
    farthest(np.ascontiguousarray(frame[order]), order, _RUN_LENGTH, chosen)


def _curve_keys(frame: np.ndarray) -> np.ndarray:
    """Place of each point along a Z-order curve: neighbours on it are neighbours in space."""
    low = frame.min(axis=0)
    extent = max(float((frame.max(axis=0) - low).max()), 1e-30)
    cells = ((frame - low) * ((_CURVE_CELLS - 1) / extent)).astype(np.int32)
    for shift, mask in ((16, 0x30000FF), (8, 0x300F00F), (4, 0x30C30C3), (2, 0x9249249)):
        cells = (cells | (cells << shift)) & mask  # two zeros after each of the ten bits
    return cells[:, 0] | (cells[:, 1] << 1) | (cells[:, 2] << 2)


def _check(points: Tensor, name: str, columns: int) -> None:
    if points.ndim != 3 or points.shape[-1] != columns:
        raise ValueError(f"{name} must be (B, N, {columns}), got {tuple(points.shape)}")


def _check_frames(**given: Tensor) -> None:
    """Refuse point sets of unequally many frames: a kernel would read or leave out the rest."""
    (first, one), (second, other) = given.items()
    if len(one) != len(other):
        raise ValueError(
            f"{first} and {second} must have equally many frames, got {len(one)} and {len(other)}"
        )


def _check_indices(features: Tensor, indices: Tensor, axes: str) -> None:
    if features.ndim != 3 or indices.ndim != axes.count(",") + 1:
        shapes = f"{tuple(features.shape)} and {tuple(indices.shape)}"
        raise ValueError(f"features must be (B, C, N) and indices {axes}, got {shapes}")
    _check_frames(features=features, indices=indices)


def _arrays(points: Tensor) -> np.ndarray:
    return _array(points, np.float32)


def _array(points: Tensor, dtype: type[np.floating]) -> np.ndarray:
    return np.ascontiguousarray(points.detach().numpy(), dtype=dtype)

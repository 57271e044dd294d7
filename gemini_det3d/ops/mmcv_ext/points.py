"""Sampling and neighbourhoods of point sets.

CPU tensors take numba kernels; CUDA tensors Triton's where it runs, or torch operations. Results
are written into the tensors that mmcv has made. Shapes: B frames, N points, M centres, K members,
C channels; mmcv also hands over sizes (b, n, m, ...), which the tensors tell.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from gemini_det3d.ops import _points_torch as in_torch
from gemini_det3d.ops import points as on_cpu
from gemini_det3d.ops.mmcv_ext import device


def _form(points: Tensor) -> ModuleType:
    return device.points_on_gpu(points.device) if device.takes_torch(points) else on_cpu


def furthest_point_sampling_forward(
    points_tensor: Tensor, temp_tensor: Tensor, idx_tensor: Tensor, b: int, n: int, m: int
) -> None:
    """Greedy farthest points of ``(B, N, 3)`` into ``(B, M)``; ``temp_tensor`` is not needed."""
    form = _form(points_tensor)
    idx_tensor.copy_(form.farthest_points(points_tensor, m))


def furthest_point_sampling_with_dist_forward(
    points_tensor: Tensor, temp_tensor: Tensor, idx_tensor: Tensor, b: int, n: int, m: int
) -> None:
    """The same from ``(B, N, N)`` distances."""
    idx_tensor.copy_(in_torch.farthest_by_distance(points_tensor, m))


def ball_query_forward(
    new_xyz_tensor: Tensor,
    xyz_tensor: Tensor,
    idx_tensor: Tensor,
    b: int,
    n: int,
    m: int,
    min_radius: float,
    max_radius: float,
    nsample: int,
) -> None:
    """The first points of ``(B, N, 3)`` around each of ``(B, M, 3)``, into ``(B, M, K)``."""
    form = _form(xyz_tensor)
    found = form.ball_query(xyz_tensor, new_xyz_tensor, max_radius, nsample, min_radius)
    idx_tensor.copy_(found)


def stack_ball_query_forward(
    new_xyz_tensor: Tensor,
    new_xyz_batch_cnt: Tensor,
    xyz_tensor: Tensor,
    xyz_batch_cnt: Tensor,
    idx_tensor: Tensor,
    max_radius: float,
    nsample: int,
) -> None:
    """The same for frames of different sizes, one after another.

    Args:
        new_xyz_tensor: ``(M1 + M2 + ..., 3)``.
        new_xyz_batch_cnt: ``(B,)``: M1, M2, ...
        xyz_tensor: ``(N1 + N2 + ..., 3)``.
        xyz_batch_cnt: ``(B,)``: N1, N2, ...
        idx_tensor: ``(M1 + M2 + ..., K)``, written: within the frame; -1, 0, 0, ... in an empty
            ball.
        max_radius: Exclusive.
        nsample: K.
    """
    form = _form(xyz_tensor)
    frames = (
        xyz_tensor.split(xyz_batch_cnt.tolist()),
        new_xyz_tensor.split(new_xyz_batch_cnt.tolist()),
        idx_tensor.split(new_xyz_batch_cnt.tolist()),
    )
    for points, centers, out in zip(*frames):
        if len(points) == 0 or len(centers) == 0:
            out.fill_(0)[:, :1] = -1
            continue
        found = form.ball_query(points[None], centers[None], max_radius, nsample)[0]
        # An empty ball is filled with 0, as is one that holds point 0 alone.
        to_first = (points.float()[found[:, 0].long()] - centers.float()).square()
        empty = (to_first[:, 0] + to_first[:, 1] + to_first[:, 2]) >= max_radius**2
        out.copy_(found)
        out[:, 0] = torch.where(empty, -1, out[:, 0])


def knn_forward(
    xyz_tensor: Tensor,
    new_xyz_tensor: Tensor,
    idx_tensor: Tensor,
    dist2_tensor: Tensor,
    b: int,
    n: int,
    m: int,
    nsample: int,
) -> None:
    """The K of ``(B, N, 3)`` nearest to each of ``(B, M, 3)``: ``(B, M, K)`` indices, squares."""
    squared, index = in_torch.nearest(new_xyz_tensor, xyz_tensor, nsample)
    idx_tensor.copy_(index)
    dist2_tensor.copy_(squared)


def three_nn_forward(
    unknown_tensor: Tensor,
    known_tensor: Tensor,
    dist2_tensor: Tensor,
    idx_tensor: Tensor,
    **sizes: int,
) -> None:
    """The three of ``(B, M, 3)`` nearest to each of ``(B, N, 3)``: squares, indices."""
    if device.takes_torch(unknown_tensor):
        squared, index = in_torch.nearest(unknown_tensor, known_tensor, 3)
    else:
        squared, index = on_cpu.nearest_three(unknown_tensor, known_tensor)
    dist2_tensor.copy_(squared)
    idx_tensor.copy_(index)

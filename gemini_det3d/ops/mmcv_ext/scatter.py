"""Values of points reduced to voxels: the two calls of mmcv's ``DynamicScatter``.

Shapes: N points, M voxels, C channels, D coordinates a voxel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gemini_det3d.ops.scatter import VoxelIndex, first_at, scatter_max, scatter_mean


def dynamic_point_to_voxel_forward(
    feats: Tensor, coors: Tensor, reduce_type: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reduce; points with a negative coordinate are left out.

    Args:
        feats: ``(N, C)``.
        coors: ``(N, D)`` int32.
        reduce_type: 'max', 'mean' or 'sum'.

    Returns:
        ``(M, C)`` values; ``(M, D)`` coordinates in lexicographic order; ``(N,)`` int32 voxel of
        each point or -1; ``(M,)`` int32 points of each voxel.
    """
    kept = (coors >= 0).all(dim=1)
    index = VoxelIndex.from_coors(coors[kept])
    count = torch.bincount(index.of_point, minlength=len(index))
    if reduce_type == "max":
        reduced = scatter_max(feats[kept], index)
    else:
        reduced = scatter_mean(feats[kept], index)
        if reduce_type == "sum":
            reduced = reduced * count[:, None].to(feats.dtype)
    voxel_of_point = torch.full_like(kept, -1, dtype=torch.int32)
    voxel_of_point[kept] = index.of_point.int()
    return reduced, index.coors, voxel_of_point, count.int()


def dynamic_point_to_voxel_backward(
    grad_feats: Tensor,
    grad_reduced_feats: Tensor,
    feats: Tensor,
    reduced_feats: Tensor,
    coors_idx: Tensor,
    reduce_count: Tensor,
    reduce_type: str,
) -> None:
    """Gradients back to the points; a maximum's goes to the first point that attains it.

    Args:
        grad_feats: ``(N, C)``, written.
        grad_reduced_feats: ``(M, C)``.
        feats: ``(N, C)``, as in the forward.
        reduced_feats: ``(M, C)``, its answer.
        coors_idx: ``(N,)``, its answer.
        reduce_count: ``(M,)``, its answer.
        reduce_type: As in the forward.
    """
    grad_feats.zero_()
    rows = (coors_idx >= 0).nonzero()[:, 0]
    if len(rows) == 0:
        return
    voxel = coors_idx[rows].long()
    if reduce_type == "max":
        first = rows[first_at(feats[rows], reduced_feats, voxel)]
        grad_feats.scatter_(0, first, grad_reduced_feats)
        return
    grad = grad_reduced_feats
    if reduce_type == "mean":
        grad = grad / reduce_count[:, None].to(grad.dtype)
    grad_feats[rows] = grad[voxel]

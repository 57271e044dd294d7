"""Points and features inside 3D boxes: roiaware (Shi et al., Part-A2) and roipoint pooling.

Shapes: R boxes, N points, C channels, X Y Z cells of a box, V points a cell at most, S samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gemini_det3d.geometry import send
from gemini_det3d.ops import _points_torch
from gemini_det3d.ops.mmcv_ext.boxes import inside
from gemini_det3d.ops.scatter import first_at

_MAX = 0


def roiaware_pool3d_forward(
    rois: Tensor,
    pts: Tensor,
    pts_feature: Tensor,
    argmax: Tensor,
    pts_idx_of_voxels: Tensor,
    pooled_features: Tensor,
    pool_method: int,
) -> None:
    """Pool the features of the points in each cell of each box.

    Args:
        rois: ``(R, 7)``.
        pts: ``(N, 3)``.
        pts_feature: ``(N, C)``.
        argmax: ``(R, X, Y, Z, C)`` int32, written where maxima are taken: point or -1.
        pts_idx_of_voxels: ``(R, X, Y, Z, V)`` int32, written: how many points, then which; at most
            ``V - 1``, in their order.
        pooled_features: ``(R, X, Y, Z, C)``, written; 0 in an empty cell.
        pool_method: 0 takes maxima, 1 means.
    """
    shape = pts_idx_of_voxels.shape
    cell, point = _cells(rois, pts, shape[1:4])
    kept, place = _first_of_each(cell, shape[-1] - 1)
    cell, point, place = cell[kept], point[kept], place[kept]
    members = torch.zeros_like(pts_idx_of_voxels).view(-1, shape[-1])
    members[cell, place + 1] = point.int()
    count = torch.bincount(cell, minlength=len(members))
    members[:, 0] = count
    pts_idx_of_voxels.copy_(members.view(shape))
    features = pts_feature[point]
    pooled = features.new_zeros(len(members), features.shape[1])
    if pool_method == _MAX:
        where = cell[:, None].expand_as(features)
        pooled = pooled.scatter_reduce(0, where, features, "amax", include_self=False)
        first = first_at(features, pooled, cell)
        named = torch.cat([point, point.new_full((1,), -1)])[first]
        argmax.copy_(named.view_as(argmax))
    else:
        pooled = pooled.index_add(0, cell, features) / count.clamp(min=1)[:, None]
    pooled_features.copy_(pooled.view_as(pooled_features))


def roiaware_pool3d_backward(
    pts_idx_of_voxels: Tensor, argmax: Tensor, grad_out: Tensor, grad_in: Tensor, pool_method: int
) -> None:
    """Gradients of the points' features, added to ``grad_in`` ``(N, C)``."""
    grad = grad_out.flatten(0, 3)
    if pool_method == _MAX:
        source = argmax.flatten(0, 3).long()
        # Maxima of empty cells go to one row too many, which is cut off.
        source = torch.where(source < 0, len(grad_in), source)
        padded = grad.new_zeros(len(grad_in) + 1, grad.shape[1])
        grad_in += padded.scatter_add(0, source, grad)[:-1]
        return
    members = pts_idx_of_voxels.flatten(0, 3).long()
    count = members[:, :1]
    cell, place = (
        torch.arange(members.shape[1] - 1, device=members.device) < count
    ).nonzero().unbind(1)  # fmt: skip
    grad_in.index_add_(0, members[cell, place + 1], (grad / count.clamp(min=1))[cell])


def roipoint_pool3d_forward(
    xyz: Tensor,
    boxes3d: Tensor,
    pts_feature: Tensor,
    pooled_features: Tensor,
    pooled_empty_flag: Tensor,
) -> None:
    """The first points in each box with their features, repeated where there are too few.

    Args:
        xyz: ``(B, N, 3)``.
        boxes3d: ``(B, R, 7)``.
        pts_feature: ``(B, N, C)``.
        pooled_features: ``(B, R, S, 3 + C)``, written; what was there stays in an empty box.
        pooled_empty_flag: ``(B, R)`` int32, written: 1 where a box holds no point.
    """
    num = pooled_features.shape[2]
    index, count = _points_torch.first_true(inside(xyz, boxes3d).transpose(1, 2), num)
    turn = torch.arange(num, device=xyz.device) % count.clamp(min=1)[..., None]
    index = index.gather(-1, turn)
    frame = torch.arange(len(xyz), device=xyz.device)[:, None, None]
    read = torch.cat([xyz, pts_feature], dim=-1)[frame, index]
    empty = count == 0
    pooled_features.copy_(torch.where(empty[..., None, None], pooled_features, read))
    pooled_empty_flag.copy_(empty)


def _cells(rois: Tensor, points: Tensor, grid: torch.Size) -> tuple[Tensor, Tensor]:
    """Cell and point of each pair of a box and a point in it, point after point in each box."""
    box, point = inside(points[None], rois[None])[0].T.nonzero().unbind(1)
    local = _points_torch.local_coordinates(points[point][:, None], rois[box][:, None])[:, 0, 0]
    size = rois[box, 3:6].double()
    local = local + 0.5 * size * send([1.0, 1, 0], size.device)  # from the low corner
    counts = send(grid, rois.device)
    cells = (local / (size / counts)).long().clamp(min=0).minimum(counts - 1)
    x, y, z = cells.unbind(1)
    return ((box * grid[0] + x) * grid[1] + y) * grid[2] + z, point


def _first_of_each(group: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Which are among the first ``limit`` of their group, and their place in it."""
    order = group.argsort(stable=True)
    ranked = group[order]
    rank = torch.arange(len(group), device=group.device)
    start = torch.searchsorted(ranked, ranked)
    place = torch.empty_like(order)
    place[order] = rank - start
    return place < limit, place

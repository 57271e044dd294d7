"""Points into voxels (Zhou and Tuzel, CVPR 2018): ``dynamic_voxelize``, ``hard_voxelize``.

Without a dense grid and without asking the device anything but the number of voxels. Divided in the
points' own precision and rounded down, as compiled mmcv does.

Shapes: N points, C values a point, V voxels at most, P points a voxel at most; voxel coordinates
are z, y, x.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from gemini_det3d.geometry import send
from gemini_det3d.ops.mmcv_ext import device


def dynamic_voxelize_forward(
    points: Tensor, voxel_size: Tensor, coors_range: Tensor, coors: Tensor, NDim: int = 3
) -> None:
    """The voxel of each point.

    Args:
        points: ``(N, C)``, x, y, z first.
        voxel_size: ``(3,)`` metres, on the CPU.
        coors_range: ``(6,)`` x, y, z of the low corner and of the high one, on the CPU.
        coors: ``(N, 3)`` int32, written; -1 outside the range.
        NDim: 3.
    """
    if device.takes_torch(points):
        cells, inside, _ = _cells(points, voxel_size, coors_range, NDim)
        coors.copy_(torch.where(inside, cells, -1).flip(0).T)
        return
    from gemini_det3d.ops import _voxels_numba

    found = np.empty((len(points), NDim), dtype=np.int32)
    low, size, count = (row.numpy() for row in _rows(voxel_size, coors_range, NDim))
    _voxels_numba.cells(_exact(points).contiguous().numpy(), low, size, count, found)
    coors.copy_(torch.from_numpy(found))


def hard_voxelize_forward(
    points: Tensor,
    voxel_size: Tensor,
    coors_range: Tensor,
    voxels: Tensor,
    coors: Tensor,
    num_points_per_voxel: Tensor,
    voxel_num: Tensor,
    max_points: int,
    max_voxels: int,
    NDim: int = 3,
    deterministic: bool = True,
) -> None:
    """The first points of the first voxels, both in the order in which the points come.

    Args:
        points: ``(N, C)``, x, y, z first.
        voxel_size: ``(3,)`` metres, on the CPU.
        coors_range: ``(6,)`` x, y, z of the low corner and of the high one, on the CPU.
        voxels: ``(V, P, C)``, written; free places keep their values.
        coors: ``(V, 3)`` int32, written.
        num_points_per_voxel: ``(V,)`` int32, written.
        voxel_num: ``()`` int64 on the CPU, written: how many voxels there are.
        max_points: P.
        max_voxels: V; points of further voxels are left out.
        NDim: 3.
        deterministic: Not read; the answer always is.
    """
    del deterministic
    cells, inside, grid = _cells(points, voxel_size, coors_range, NDim)
    key = torch.where(inside, _flat(cells, grid), torch.iinfo(torch.int64).max)
    voxel, place, first = _ranked(key, inside)
    taken = inside & (voxel < max_voxels) & (place < max_points)
    # Points that are not taken go to one place too many, which is cut off again.
    slot = torch.where(taken, voxel * max_points + place, max_voxels * max_points)
    filled = torch.cat([voxels.flatten(0, 1), voxels.new_empty(1, voxels.shape[2])])
    voxels.copy_(filled.index_copy_(0, slot, points)[:-1].view_as(voxels))
    opened = torch.where(first & (voxel < max_voxels), voxel, max_voxels)
    corners = torch.cat([coors, coors.new_empty(1, NDim)])
    coors.copy_(corners.index_copy_(0, opened, cells.flip(0).T)[:-1])
    counts = torch.cat([num_points_per_voxel, num_points_per_voxel.new_zeros(1)])
    row = torch.where(taken, voxel, max_voxels)
    num_points_per_voxel.copy_(counts.index_add_(0, row, taken.to(counts.dtype))[:-1])
    voxel_num.copy_(first.sum().clamp(max=max_voxels))


def _cells(
    points: Tensor, voxel_size: Tensor, coors_range: Tensor, ndim: int
) -> tuple[Tensor, Tensor, list[int]]:
    """Cell of each point as x, y, z ``(3, N)`` int32, if it is in the grid, the grid's size."""
    exact = _exact(points[:, :ndim].T).contiguous()
    rows = _rows(voxel_size, coors_range, ndim)
    low, size, count = send(rows[..., None], exact.device).unbind()
    cells = (exact - low).div_(size).floor_()
    fits = (cells >= 0) & (cells < count)  # NaN does not
    inside = functools.reduce(torch.logical_and, fits)
    return cells.int(), inside, [int(count) for count in rows[2]]


def _rows(voxel_size: Tensor, coors_range: Tensor, ndim: int) -> Tensor:
    """The grid's low corner, a cell's size, how many cells: ``(3, ndim)``."""
    # Halves away from zero, as C rounds; a grid is never negative.
    count = ((coors_range[ndim:] - coors_range[:ndim]) / voxel_size + 0.5).floor()
    return torch.stack([coors_range[:ndim], voxel_size, count])


def _exact(points: Tensor) -> Tensor:
    """Half precision would not tell cells apart."""
    return points.to(torch.promote_types(points.dtype, torch.float32))


def _flat(cells: Tensor, grid: list[int]) -> Tensor:
    """One int64 for each cell of the grid."""
    x, y, z = cells.long()
    return (z * grid[1] + y) * grid[0] + x


def _ranked(key: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each point: its voxel's number by first appearance, its place there, if it is first.

    Sorting brings a voxel's points together, in their order; everything else is counting.
    """
    num, device = len(key), key.device
    key, order = key.sort(stable=True)
    rank = torch.arange(num, device=device)
    opens = torch.ones(num, dtype=torch.bool, device=device)
    opens[1:] = key[1:] != key[:-1]
    start = torch.where(opens, rank, 0).cummax(0).values if num else rank
    place, leader = torch.empty_like(order), torch.empty_like(order)
    place[order], leader[order] = rank - start, order[start]
    first = inside & (leader == rank)
    return (first.cumsum(0) - 1)[leader], place, first

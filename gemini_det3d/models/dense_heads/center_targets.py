"""Targets of a centre head for all frames and boxes at once, without asking the device.

What they are is CenterPoint's (Yin et al., CVPR 2021) as mmdet3d's ``CenterHead`` makes them; there
box by box, with the host waiting for the device some ten times at each.

Shapes: B frames, G boxes of the frame that has most, T tasks, C classes of all tasks, M places for
boxes of a task, H x W map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class CentreMap:
    """The map that centres are drawn on.

    Attributes:
        origin_m: x and y of its corner.
        voxel_size_m: Along x and y.
        stride: Voxels in a cell, along each axis.
        size: ``(H, W)`` cells along y and x.
    """

    origin_m: tuple[float, float]
    voxel_size_m: tuple[float, float]
    stride: int
    size: tuple[int, int]

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any]) -> CentreMap:
        """From the ``train_cfg`` of a ``CenterHead``."""
        width, height = (int(count) // cfg["out_size_factor"] for count in cfg["grid_size"][:2])
        return cls(
            tuple(cfg["point_cloud_range"][:2]),
            tuple(cfg["voxel_size"][:2]),
            cfg["out_size_factor"],
            (height, width),
        )

    def lengths(self, metres: Tensor) -> Tensor:
        """Lengths ``(..., 2)`` along x and y in cells."""
        return torch.stack(
            [metres[..., axis] / self.voxel_size_m[axis] / self.stride for axis in (0, 1)], dim=-1
        )

    def cells(self, xy: Tensor) -> Tensor:
        """Points ``(..., 2)`` in cells from the corner."""
        x, y = xy.unbind(-1)
        return self.lengths(torch.stack([x - self.origin_m[0], y - self.origin_m[1]], dim=-1))

    def holds(self, cell: Tensor) -> Tensor:
        """Which whole cells ``(..., 2)`` (column, row) lie on the map: ``(...)`` bool."""
        column, row = cell.unbind(-1)
        height, width = self.size
        return (column >= 0) & (column < width) & (row >= 0) & (row < height)


def gaussian_radii(length: Tensor, width: Tensor, min_overlap: float) -> Tensor:
    """How far a corner may be off so that boxes still overlap by ``min_overlap`` (CornerNet's).

    Args:
        length: ``(...)`` in cells of the map.
        width: ``(...)``.
        min_overlap: Intersection over union.

    Returns:
        ``(...)`` cells: the least of the three cases (both corners out, both in, one of each).
    """
    total, area = width + length, length * width
    cases = (
        (1, total, area * (1 - min_overlap) / (1 + min_overlap)),
        (4, 2 * total, (1 - min_overlap) * length * width),
        (4 * min_overlap, -2 * min_overlap * total, (min_overlap - 1) * length * width),
    )
    radii = [(b + (b**2 - 4 * a * c).sqrt()) / 2 for a, b, c in cases]
    return torch.minimum(torch.minimum(radii[0], radii[1]), radii[2])


def draw_gaussians(
    centre: Tensor, radius: Tensor, channel: Tensor, num_channels: int, size: tuple[int, int]
) -> Tensor:
    """A bump of height 1 at each centre; where bumps meet, the higher one counts.

    Args:
        centre: ``(B, G, 2)`` column and row, int64.
        radius: ``(B, G)`` cells, int64: where the bump ends.
        channel: ``(B, G)`` int64 of the map; ``num_channels`` for what is not drawn.
        num_channels: Channels of the map.
        size: ``(H, W)``.

    Returns:
        ``(B, num_channels, H, W)`` float32.
    """
    reach, sigma = radius[..., None], ((2 * radius + 1).double() / 6)[..., None, None]
    x, y = (
        torch.arange(count, device=centre.device) - centre[..., axis, None]
        for axis, count in ((0, size[1]), (1, size[0]))
    )
    inside = (x.abs() <= reach)[..., None, :] & (y.abs() <= reach)[..., None]
    squares = (x * x)[..., None, :] + (y * y)[..., None]
    bumps = (torch.exp(-squares / (2 * sigma * sigma)) * inside).float()  # (B, G, H, W)
    maps = bumps.new_zeros(len(centre), num_channels + 1, *size)
    where = channel[..., None, None].expand_as(bumps)
    return maps.scatter_reduce(1, where, bumps, "amax")[:, :num_channels]


def places_in_task(label: Tensor, task: Tensor, valid: Tensor) -> Tensor:
    """Place of each box among those of its task: by class, then as they come. ``(B, G)`` int64."""
    order = torch.arange(label.shape[1], device=label.device)
    first = (label[:, None] < label[..., None]) | (
        (label[:, None] == label[..., None]) & (order[None] < order[:, None])
    )
    return (first & (task[:, None] == task[..., None]) & valid[:, None]).sum(dim=2)


def placed(row: Tensor, values: Tensor, num_tasks: int, num_places: int) -> list[Tensor]:
    """Values of boxes in their tasks' places, zeros elsewhere.

    Args:
        row: ``(B, G)`` int64, task x M + place; T x M for what is left out.
        values: ``(B, G)`` or ``(B, G, K)``.
        num_tasks: T.
        num_places: M.

    Returns:
        For each task ``(B, M)`` or ``(B, M, K)``.
    """
    table = values.new_zeros(len(row), num_tasks * num_places + 1, *values.shape[2:])
    where = row.view(*row.shape, *[1] * (values.dim() - 2)).expand_as(values)
    table = table.scatter(1, where, values)[:, :-1]
    return list(table.unflatten(1, (num_tasks, num_places)).unbind(1))

"""The bird's-eye-view grid: which cell a point lies in, where a cell is, which cells a camera sees.

Cells are numbered row by row; rows run along y, columns along x, as in mmdet3d's BEV maps
``(B, C, H, W)``: H cells along y, W along x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .projection import MIN_DEPTH_M, project

# Shares of the grid's height at which a cell is looked up in the image.
_SEEN_AT = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class BevGrid:
    """A regular grid seen from above, in the frame of the (augmented) points.

    Args:
        point_cloud_range: ``(x_min, y_min, z_min, x_max, y_max, z_max)``, metres; the upper ends
            are outside.
        cell_size_m: ``(along x, along y)``.

    Raises:
        ValueError: The range is empty, or is no whole number of cells.
    """

    point_cloud_range: tuple[float, ...]
    cell_size_m: tuple[float, float]

    def __post_init__(self) -> None:
        """Refuse a grid that cannot be."""
        low, high = self.point_cloud_range[:3], self.point_cloud_range[3:]
        if len(self.point_cloud_range) != 6 or any(a >= b for a, b in zip(low, high)):
            raise ValueError(
                f"point_cloud_range must be (x, y, z, x, y, z) with low ends first, "
                f"got {self.point_cloud_range}"
            )
        for axis, name in enumerate("xy"):
            if self.cell_size_m[axis] <= 0:
                raise ValueError(f"cell_size_m must be positive, got {self.cell_size_m}")
            cells = (high[axis] - low[axis]) / self.cell_size_m[axis]
            if abs(cells - round(cells)) > 1e-3:
                raise ValueError(
                    f"point_cloud_range spans {cells:.3f} cells of {self.cell_size_m[axis]} m "
                    f"along {name}; it must be a whole number"
                )

    @classmethod
    def from_config(cls, point_cloud_range: Sequence[float], cell_size_m: Sequence[float]):
        """A grid from the lists of a config."""
        return cls(tuple(map(float, point_cloud_range)), (cell_size_m[0], cell_size_m[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)``: cells along y, cells along x."""
        low, high = self.point_cloud_range[:3], self.point_cloud_range[3:]
        along_x, along_y = (
            round((high[axis] - low[axis]) / self.cell_size_m[axis]) for axis in (0, 1)
        )
        return along_y, along_x

    def cell_of(self, points: Tensor) -> Tensor:
        """Number of the cell that each point lies in: ``(..., 3)`` -> ``(...)`` int64.

        -1 for points outside the range (above and below it, too) and for NaN.
        """
        height, width = self.shape
        low, high = self.point_cloud_range[:3], self.point_cloud_range[3:]
        x, y, z = points.unbind(-1)
        column, row = (  # in place, as maps are lifted by the million
            (at - low[axis]).div_(self.cell_size_m[axis]).floor_() for axis, at in enumerate((x, y))
        )
        z = z - low[2]
        inside = (z >= 0) & (z < high[2] - low[2])
        inside &= (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return row.double().mul_(width).add_(column).masked_fill_(~inside, -1).long()

    def centres(self, device: torch.device | None = None) -> Tensor:
        """Centres ``(H, W, 2)`` of the cells as (x, y), metres, float64."""
        height, width = self.shape
        x, y = (
            self.point_cloud_range[axis]
            + (torch.arange(count, dtype=torch.float64, device=device) + 0.5)
            * self.cell_size_m[axis]
            for axis, count in ((0, width), (1, height))
        )
        return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)


def cells_in_view(
    grid: BevGrid,
    matrix: Tensor,
    shows: Callable[[Tensor], Tensor],
    depth_m: tuple[float, float] = (0.0, float("inf")),
) -> Tensor:
    """Which cells a camera sees: some point above the cell's centre, within the grid, is in view.

    Args:
        grid: The grid.
        matrix: ``(3, 4)`` or of V views ``(V, 3, 4)``, point -> pixel (times depth); decides the
            device.
        shows: Which pixels ``(..., N, 2)`` the image shows: ``(..., N)`` bool.
        depth_m: ``(nearest, farthest)`` depth that counts as seen.

    Returns:
        ``(H, W)`` or ``(V, H, W)`` bool.
    """
    centres = grid.centres(matrix.device).flatten(0, 1)
    low, high = grid.point_cloud_range[2], grid.point_cloud_range[5]
    near, far = max(depth_m[0], MIN_DEPTH_M), depth_m[1]
    heights = [
        torch.nn.functional.pad(centres, (0, 1), value=low + share * (high - low))
        for share in _SEEN_AT
    ]
    pixels, depth = project(torch.cat(heights), matrix)
    seen = shows(pixels) & (depth >= near) & (depth < far)
    return seen.unflatten(-1, (len(_SEEN_AT), *grid.shape)).any(dim=-3)

"""Reading feature maps at continuous pixel positions.

Shapes: maps ``(B, C, h, w)`` that cover a padded image of ``(H, W)`` pixels, N points of all
samples in one list.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def sample_maps(
    maps: Sequence[Tensor],
    pixels: Sequence[Tensor],
    image_size: tuple[int, int],
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Tensor:
    """Features of every point from every level of a pyramid.

    Args:
        maps: L maps ``(B, C_l, h_l, w_l)``; each covers the whole padded image.
        pixels: B tensors ``(N_b, 2)``, pixels in the padded image.
        image_size: ``(H, W)`` of the padded image.
        mode: 'bilinear' or 'nearest'.
        padding_mode: What lies outside the image: 'zeros', 'border' or 'reflection'.
        align_corners: As in :func:`torch.nn.functional.grid_sample`.

    Returns:
        ``(sum N_b, sum C_l)``, levels side by side, samples one after the other, in the maps'
        dtype. With no point at all it is empty, and still part of the graph of the maps.
    """
    rows = [
        torch.cat(
            [
                _sample_one(level[b : b + 1], grid, mode, padding_mode, align_corners)
                for level in maps
            ],
            dim=-1,
        )
        for b, grid in enumerate(normalised(p, image_size) for p in pixels)
    ]
    return torch.cat(rows)


def normalised(pixels: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Pixels ``(N, 2)`` as grid_sample wants them: -1 at the left/top edge, +1 at the other."""
    height, width = image_size
    u, v = pixels.unbind(-1)
    return torch.stack([u / width * 2 - 1, v / height * 2 - 1], dim=-1)


def _sample_one(level: Tensor, grid: Tensor, mode: str, padding: str, align: bool) -> Tensor:
    if grid.shape[0] == 0:  # 0 * sum keeps the map in the graph: no parameter is "unused"
        return level.new_zeros(0, level.shape[1]) + 0 * level.sum()
    dtype = torch.promote_types(level.dtype, torch.float32)  # half a pixel is lost in 16 bits
    sampled = F.grid_sample(
        level.to(dtype),
        grid.to(dtype)[None, None],  # (1, 1, N, 2)
        mode=mode,
        padding_mode=padding,
        align_corners=align,
    )
    return sampled[0, :, 0].T.to(level.dtype)  # (1, C, 1, N) -> (N, C)

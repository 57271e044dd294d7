"""Reading feature maps at continuous pixel positions.

Shapes: maps ``(B, C, h, w)`` that cover a padded image of ``(H, W)`` pixels, N points of all
samples in one list.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

# As grid_sample counts: beside a map of any size; so far that it need not count farther, which it
# does in float32 and 32-bit integers.
_BESIDE, _FAR = 4.0, 1e5
_OF_CORNERS = ("zeros", "border")  # paddings that :func:`bilinear_corners` knows


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
        padding_mode: What lies outside the image: 'zeros', 'border' or 'reflection'. A pixel that
            is not finite reads zeros with 'zeros'; with 'border' an edge, of NaN the first one.
        align_corners: As in :func:`torch.nn.functional.grid_sample`.

    Returns:
        ``(sum N_b, sum C_l)``, levels side by side, samples one after the other, in the maps'
        dtype. With no point at all it is empty, and still part of the graph of the maps.
    """
    counts = [len(p) for p in pixels]
    longest = max(counts, default=0)
    if longest == 0:  # 0 * sum keeps the maps in the graph: no parameter is "unused"
        nothing = [level.new_zeros(0, level.shape[1]) + 0 * level.sum() for level in maps]
        return torch.cat(nothing, dim=1)
    if _must_add_in_order(maps) and mode == "bilinear" and padding_mode in _OF_CORNERS:
        return _read_corners(maps, pixels, image_size, padding_mode, align_corners)
    # Frames are filled up to the longest, so that each level is read once for all of them.
    grid = normalised(pad_sequence(list(pixels), batch_first=True), image_size)[:, None]
    grids = {dtype: _within_reach(grid, dtype) for dtype in {_reading_dtype(m) for m in maps}}
    how = dict(mode=mode, padding_mode=padding_mode, align_corners=align_corners)
    read = [_read(level, grids[_reading_dtype(level)], **how) for level in maps]
    rows = torch.cat(read, dim=1)[:, :, 0].transpose(1, 2)  # (B, C, 1, n) -> (B, n, C)
    if align_corners and padding_mode == "zeros" and any(1 in level.shape[2:] for level in maps):
        # Of a side of one cell grid_sample reads that, wherever a pixel is.
        rows = torch.where(grid[:, 0].isfinite().all(-1, keepdim=True), rows, 0)
    if min(counts) == longest:
        return rows.flatten(0, 1)
    return torch.cat([frame[:count] for frame, count in zip(rows, counts)])


def bilinear_corners(
    pixels: Tensor,
    image_size: tuple[int, int],
    map_size: tuple[int, int],
    padding_mode: str = "zeros",
    align_corners: bool = False,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor, Tensor]:
    """Which four cells of a map each point reads, and the share of each.

    Args:
        pixels: ``(N, 2)``, pixels in the padded image.
        image_size: ``(H, W)`` of the padded image.
        map_size: ``(h, w)`` of the map.
        padding_mode: 'zeros' or 'border', as in :func:`sample_maps`.
        align_corners: As in :func:`sample_maps`.
        dtype: Of places and shares, as in :func:`sample_maps` that of the maps.

    Returns:
        Columns x and rows y ``(N, 4)`` int64, all within the map, and shares ``(N, 4)``: zero for a
        cell beside the map.

    Raises:
        ValueError: Another ``padding_mode``.
    """
    if padding_mode not in _OF_CORNERS:
        raise ValueError(f"padding_mode must be 'zeros' or 'border', got {padding_mode!r}")
    height, width = map_size
    size = pixels.new_tensor([width, height], dtype=dtype)
    grid = normalised(pixels, image_size).to(dtype)
    place = (grid + 1) / 2 * (size - 1) if align_corners else ((grid + 1) * size - 1) / 2
    if padding_mode == "border":
        place = torch.minimum(place.nan_to_num(0.0, inf, -inf).clamp(min=0), size - 1)
    place = torch.minimum(place.nan_to_num(-2.0).clamp(min=-2.0), size + 1)  # far away is beside
    low = place.floor()
    high_share = place - low
    corners = torch.stack([low, low + 1], dim=-1)  # (N, 2, 2): axis, end
    shares = torch.stack([1 - high_share, high_share], dim=-1)
    is_inside = (corners >= 0) & (corners < size[:, None])
    shares = shares * is_inside
    last = (size - 1)[:, None]
    x, y = torch.minimum(corners.clamp(min=0), last).long().unbind(1)
    share = shares[:, 1, :, None] * shares[:, 0, None]  # (N, 2, 2): y, x
    return (
        x[:, None].expand_as(share).flatten(1),
        y[:, :, None].expand_as(share).flatten(1),
        (share.flatten(1)),
    )


def normalised(pixels: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Pixels ``(N, 2)`` as grid_sample wants them: -1 at the left/top edge, +1 at the other."""
    height, width = image_size
    u, v = pixels.unbind(-1)
    return torch.stack([u / width, v / height], dim=-1) * 2 - 1


def _must_add_in_order(maps: Sequence[Tensor]) -> bool:
    """Whether the backward of grid_sample would be refused: a GPU's in deterministic mode."""
    is_asked = torch.are_deterministic_algorithms_enabled()
    return is_asked and any(level.requires_grad and not level.is_cpu for level in maps)


def _read_corners(
    maps: Sequence[Tensor],
    pixels: Sequence[Tensor],
    image_size: tuple[int, int],
    padding_mode: str,
    align_corners: bool,
) -> Tensor:
    """:func:`sample_maps` by indexing, whose backward adds in one order on every device."""
    counts = [len(of_frame) for of_frame in pixels]
    numbers = torch.arange(len(counts), device=maps[0].device)
    frame = torch.cat([number.expand(count) for number, count in zip(numbers, counts)])
    read = []
    for level in maps:
        how = padding_mode, align_corners, _reading_dtype(level)
        height, width = level.shape[2:]
        x, y, share = bilinear_corners(torch.cat([*pixels]), image_size, (height, width), *how)
        cells = level.movedim(1, -1)[frame[:, None], y, x]  # (N, 4, C)
        read.append((cells * share[..., None]).sum(dim=1).to(level.dtype))
    return torch.cat(read, dim=1)


def _within_reach(grid: Tensor, dtype: torch.dtype) -> Tensor:
    """The same in another dtype, which may hold less, without what grid_sample cannot bear.

    Of a NaN its answer is NaN, and of that and of what is far away its backward writes beside the
    map.
    """
    return grid.to(dtype).nan_to_num(-_BESIDE, _BESIDE, -_BESIDE).clamp(-_FAR, _FAR)


def _read(level: Tensor, grid: Tensor, **how: Any) -> Tensor:
    """``(B, C, h, w)`` at ``(B, 1, n, 2)`` -> ``(B, C, 1, n)``."""
    return F.grid_sample(level.to(_reading_dtype(level)), grid, **how).to(level.dtype)


def _reading_dtype(level: Tensor) -> torch.dtype:
    return torch.promote_types(level.dtype, torch.float32)  # half a pixel is lost in 16 bits

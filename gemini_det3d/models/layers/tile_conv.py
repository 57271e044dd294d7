"""A 3 x 3 convolution at chosen 2 x 2 tiles of a map, by minimal filtering.

Who reads a map at scattered places needs only the convolution's outputs there. Each 2 x 2 tile is
found from the 4 x 4 pixels around it by Winograd's F(2 x 2, 3 x 3): 16 products a tile and pair of
channels where the definition takes 36, and float32 is about as exact (Lavin and Gray, CVPR 2016).
With ``d`` a 4 x 4 patch and ``g`` a filter, ``Y = A' [(G g G') * (B' d B)] A``; written for
flattened patches, each side is one matrix, and ``*`` one product of matrices for each of 16 places.

Shapes: maps ``(B, C, h, w)``, T chosen tiles, O output channels. Tiles are counted row by row,
frame after frame: ``(b * ceil(h / 2) + y // 2) * ceil(w / 2) + x // 2``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_PATCH = torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
_FILTER = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_RESULT = torch.tensor([[1.0, 1, 1, 0], [0, 1, -1, -1]])
_TILES = 256  # a block: 4 MB at 256 channels


def tile_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the 2 x 2 tiles that cover a map."""
    return (height + 1) // 2, (width + 1) // 2


def conv3x3_at(maps: Tensor, weight: Tensor, tiles: Tensor) -> Tensor:
    """A convolution with a border of one zero, without bias, at some tiles.

    Args:
        maps: ``(B, C, h, w)``.
        weight: ``(O, C, 3, 3)``.
        tiles: ``(T,)`` numbers of tiles, int64, each once.

    Returns:
        ``(4, T, O)``, the four pixels of each tile row by row. Pixels beyond an odd edge are what
        a map longer by a row or column of zeros would give. Differentiable once.
    """
    out_channels, channels = weight.shape[:2]
    taps = weight.permute(2, 3, 1, 0).reshape(9, channels * out_channels)
    filters = (_squared(_FILTER, weight) @ taps).view(16, channels, out_channels)
    return _AtTiles.apply(maps, filters, _patches(maps, tiles))


class _AtTiles(torch.autograd.Function):
    """Block by block; the maps are kept alone, the backward transforms their patches anew."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, filters: Tensor, patches: Tensor) -> Tensor:
        pixels, result = _as_rows(maps), _squared(_RESULT, maps)
        ctx.save_for_backward(maps, filters, patches)
        found = maps.new_empty(4, patches.shape[1], filters.shape[2])
        for block in _blocks(patches):
            products = _transformed(pixels, patches[:, block]) @ filters
            found[:, block] = _mixed(result, products)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
        maps, filters, patches = ctx.saved_tensors
        pixels = _as_rows(maps)
        result, undo = (_squared(m, grad).T.contiguous() for m in (_RESULT, _PATCH))
        grad_pixels = torch.zeros_like(pixels) if ctx.needs_input_grad[0] else None
        grad_filters = torch.zeros_like(filters)
        for block in _blocks(patches):
            chosen = patches[:, block]
            grad_products = _mixed(result, grad[:, block])
            grad_filters.baddbmm_(_transformed(pixels, chosen).mT, grad_products)
            if grad_pixels is not None:
                rows = _mixed(undo, grad_products @ filters.mT).flatten(0, 1)
                grad_pixels.index_add_(0, chosen.flatten(), rows)
        if grad_pixels is None:
            return None, grad_filters, None
        batch, channels, height, width = maps.shape
        by_pixel = grad_pixels[:-1].view(batch, height, width, channels)
        return by_pixel.permute(0, 3, 1, 2), grad_filters, None


def _patches(maps: Tensor, tiles: Tensor) -> Tensor:
    """Of each tile the 16 pixels around it, as rows of :func:`_as_rows`: ``(16, T)``."""
    batch, _, height, width = maps.shape
    rows, columns = tile_grid(height, width)
    steps = torch.arange(-1, 3, device=tiles.device)
    y = tiles // columns % rows * 2 + steps[:, None]  # (4, T)
    x = tiles % columns * 2 + steps[:, None]
    pixel = (tiles // (rows * columns) * height + y)[:, None] * width + x
    inside = ((y >= 0) & (y < height))[:, None] & (x >= 0) & (x < width)
    return torch.where(inside, pixel, batch * height * width).flatten(0, 1)


def _as_rows(maps: Tensor) -> Tensor:
    """Pixels as rows ``(B * h * w + 1, C)``; the last one is the zeros beside the map."""
    batch, channels, height, width = maps.shape
    rows = maps.new_empty(batch * height * width + 1, channels)
    for frame, chosen in zip(maps.flatten(2), rows[:-1].chunk(batch)):
        chosen.copy_(frame.T)  # frame by frame, for PyTorch has a fast way to turn two axes
    rows[-1] = 0
    return rows


def _transformed(pixels: Tensor, patches: Tensor) -> Tensor:
    """B' d B of some patches: ``(16, t)`` rows -> ``(16, t, C)``."""
    gathered = pixels.index_select(0, patches.flatten()).view(*patches.shape, -1)
    return _mixed(_squared(_PATCH, pixels), gathered)


def _mixed(matrix: Tensor, values: Tensor) -> Tensor:
    """A matrix ``(m, n)`` over the first axis of ``(n, t, c)``."""
    return (matrix @ values.flatten(1)).view(-1, *values.shape[1:])


def _squared(matrix: Tensor, like: Tensor) -> Tensor:
    """The matrix for both axes of a flattened patch."""
    return torch.kron(matrix, matrix).to(like)


def _blocks(patches: Tensor) -> list[slice]:
    return [slice(first, first + _TILES) for first in range(0, patches.shape[1], _TILES)]

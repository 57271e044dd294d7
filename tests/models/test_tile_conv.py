"""The convolution at chosen tiles: the plain one's values and gradients, and nothing elsewhere."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gemini_det3d.models.layers.tile_conv import conv3x3_at, tile_grid

MAPS, WEIGHT = (2, 3, 5, 7), (4, 3, 3, 3)


def tensors(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = (MAPS, WEIGHT)
    return [torch.randn(s, dtype=dtype, generator=generator).requires_grad_() for s in shapes]


def all_tiles():
    rows, columns = tile_grid(*MAPS[2:])
    return torch.arange(MAPS[0] * rows * columns)


def plain(maps, weight, tiles):
    """From the definition: the whole map, cut into tiles."""
    rows, columns = tile_grid(*maps.shape[2:])
    bottom, right = 2 * rows - maps.shape[2], 2 * columns - maps.shape[3]
    whole = F.conv2d(F.pad(maps, (0, right, 0, bottom)), weight, padding=1)
    cut = whole.unflatten(3, (columns, 2)).unflatten(2, (rows, 2))  # (B, O, rows, 2, columns, 2)
    return cut.permute(3, 5, 0, 2, 4, 1).flatten(2, 4).flatten(0, 1)[:, tiles]


@pytest.mark.parametrize("chosen", [slice(None), slice(1, None, 5), slice(0, 0)], ids=str)
def test_tiles_hold_the_convolution(chosen):
    maps, weight = tensors()
    tiles = all_tiles()[chosen]
    torch.testing.assert_close(conv3x3_at(maps, weight, tiles), plain(maps, weight, tiles))


def test_many_blocks_of_tiles_hold_the_convolution(monkeypatch):
    monkeypatch.setattr("gemini_det3d.models.layers.tile_conv._TILES", 5)
    maps, weight = tensors()
    found, expected = (f(maps, weight, all_tiles()) for f in (conv3x3_at, plain))
    torch.testing.assert_close(found, expected)
    seed = torch.randn(expected.shape, dtype=torch.float64)
    for ours, theirs in zip(*(torch.autograd.grad(y, (maps, weight), seed)
                              for y in (found, expected))):  # fmt: skip
        torch.testing.assert_close(ours, theirs)


def test_gradient_of_tiles_is_right():
    tiles = all_tiles()[::3]
    assert torch.autograd.gradcheck(lambda m, w: conv3x3_at(m, w, tiles), tensors())


def test_no_tile_gives_gradients_of_zero():
    maps, weight = tensors()
    conv3x3_at(maps, weight, all_tiles()[:0]).sum().backward()
    assert not maps.grad.any() and not weight.grad.any()


def test_float32_is_about_as_exact_as_the_plain_convolution():
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(1, 256, 8, 8, generator=generator, dtype=torch.float64)
    weight = torch.randn(16, 256, 3, 3, generator=generator, dtype=torch.float64)
    tiles = torch.arange(16)
    exact = plain(maps, weight, tiles)

    def error(way):
        return (way(maps.float(), weight.float(), tiles) - exact).square().mean().sqrt()

    assert error(conv3x3_at) <= 2 * error(plain)

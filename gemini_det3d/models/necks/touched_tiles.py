"""What points read of an image, without making maps that nobody looks at.

Between the pyramid and a neck's normalisation all is linear: a 3 x 3 convolution a level, bilinear
reading, one linear layer over the levels side by side. So the linear layer is multiplied into the
convolutions' filters, which are applied only at the 2 x 2 tiles that points touch
(:mod:`gemini_det3d.models.layers.tile_conv`), for all necks at once; a point's token is then one
weighted sum over four pixels of every level. Same values as the way through whole maps but for
rounding, in less time and memory on a CPU.

Shapes: B frames, S points that are read, L levels, C channels of the pyramid, O those of all necks'
tokens together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gemini_det3d.fusion.kernels.torch_versions import autocast_dtype, is_compiling
from gemini_det3d.geometry import bilinear_corners
from gemini_det3d.models.layers.tile_conv import conv3x3_at, tile_grid

if TYPE_CHECKING:
    from .image_sampler import ImageSampler
    from .point_fusion import PointFusionNeck


def can_read_tiles(necks: Sequence[PointFusionNeck], levels: Sequence[Tensor]) -> bool:
    """Whether these necks' tokens can, and on a CPU should, be found in this way.

    That is: on a CPU in full precision, with plain 3 x 3 convolutions no narrower than the tokens,
    read bilinearly.
    """
    sampler = necks[-1].sampler
    return (
        all(level.device.type == "cpu" for level in levels)
        and all(level.dtype in (torch.float32, torch.float64) for level in levels)
        and autocast_dtype("cpu") is None
        and not is_compiling()
        and sampler.reads == "auto"
        and sampler.mode == "bilinear"
        and sampler.padding_mode in ("zeros", "border")
        and all(_is_linear(neck, levels[0].dtype) for neck in necks)
    )


def read_tiles(
    necks: Sequence[PointFusionNeck],
    levels: Sequence[Tensor],
    pixels: Tensor,
    of_frame: Tensor,
    padded_size: tuple[int, int],
) -> list[Tensor]:
    """Every neck's image tokens before their normalisation.

    Args:
        necks: That :func:`can_read_tiles` says yes to; they share one sampler.
        levels: L maps ``(B, C, h, w)`` of the pyramid.
        pixels: ``(S, 2)`` in the padded image.
        of_frame: ``(S,)`` int64, whose image each point reads.
        padded_size: ``(height, width)`` that the maps cover.

    Returns:
        For each neck ``(S, out_channels)``.
    """
    sampler = necks[-1].sampler
    weights, biases = zip(*(_folded(necks, level) for level in range(len(levels))))
    rows, places, shares, first = [], [], [], 0
    for maps, weight in zip(levels, weights):
        place, share, tiles = _touched(maps, pixels, of_frame, padded_size, sampler)
        rows.append(conv3x3_at(maps, weight, tiles).flatten(0, 1))
        places.append(place + first)
        shares.append(share)
        first += len(rows[-1])
    share = torch.cat(shares, dim=1)
    tokens = _WeightedSums.apply(torch.cat(rows), torch.cat(places, dim=1).int(), share)
    # a pixel beside the image has no convolution, so none of its bias
    inside = share.unflatten(1, (len(levels), 4)).sum(dim=2)
    offset = torch.cat([neck.img_transform[0].bias for neck in necks])
    tokens = tokens + torch.addmm(offset, inside, torch.stack(biases))
    widths = [neck.out_channels for neck in necks]
    # norms are many times slower on columns of something wider
    return [columns.contiguous() for columns in tokens.split(widths, dim=1)]


class _WeightedSums(torch.autograd.Function):
    """Of rows ``(R, O)`` at ``(S, K)`` int32 places with their shares: ``(S, O)``.

    The backward reads points by place as the forward reads places by point, which takes a third
    of the time of PyTorch's own.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, share: Tensor) -> Tensor:
        ctx.save_for_backward(places, share)
        ctx.num_rows = len(rows)
        return F.embedding_bag(places, rows, mode="sum", per_sample_weights=share)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        places, share = ctx.saved_tensors
        by_place, order = places.flatten().sort(stable=True)
        readers = order // places.shape[1]
        every = torch.arange(ctx.num_rows, dtype=by_place.dtype, device=grad.device)
        starts = torch.searchsorted(by_place, every)
        grad_rows = F.embedding_bag(
            readers, grad, starts, mode="sum", per_sample_weights=share.flatten()[order]
        )
        return grad_rows, None, None


def _touched(
    maps: Tensor,
    pixels: Tensor,
    of_frame: Tensor,
    padded_size: tuple[int, int],
    sampler: ImageSampler,
) -> tuple[Tensor, Tensor, Tensor]:
    """What points read of one level.

    Returns:
        ``(S, 4)`` rows of the tiles' pixels (as ``conv3x3_at`` gives them, flattened),
        ``(S, 4)`` the share of each, and the tiles ``(T,)`` themselves.
    """
    batch, _, height, width = maps.shape
    how = sampler.padding_mode, sampler.align_corners, maps.dtype
    x, y, share = bilinear_corners(pixels, padded_size, (height, width), *how)
    rows, columns = tile_grid(height, width)
    tile = (of_frame[:, None] * rows + y // 2) * columns + x // 2
    is_touched = torch.zeros(batch * rows * columns, dtype=torch.bool, device=maps.device)
    is_touched[tile.flatten()] = True
    tiles = is_touched.nonzero()[:, 0]
    number = is_touched.cumsum(0) - 1
    place = (y % 2 * 2 + x % 2) * len(tiles) + number[tile]
    return place, share, tiles


def _folded(necks: Sequence[PointFusionNeck], level: int) -> tuple[Tensor, Tensor]:
    """Filters ``(O, C, 3, 3)`` and bias ``(O,)`` of one level, the linear layers multiplied in."""
    filters, biases = [], []
    for neck in necks:
        conv, linear = neck.lateral_convs[level].conv, neck.img_transform[0]
        part = linear.weight.unflatten(1, (-1, conv.out_channels))[:, level]
        filters.append((part @ conv.weight.flatten(1)).unflatten(1, conv.weight.shape[1:]))
        biases.append(linear.bias.new_zeros(len(part)) if conv.bias is None else part @ conv.bias)
    return torch.cat(filters), torch.cat(biases)


def _is_linear(neck: PointFusionNeck, dtype: torch.dtype) -> bool:
    """Whether all before the normalisation is linear, and folding it makes nothing larger."""
    if neck.lateral_convs is None or any(
        lateral.with_norm or lateral.with_activation for lateral in neck.lateral_convs
    ):
        return False
    linear = neck.img_transform[0]
    return linear.weight.dtype == dtype and all(
        _is_plain(lateral.conv) and linear.out_features <= lateral.conv.out_channels
        for lateral in neck.lateral_convs
    )


def _is_plain(conv: nn.Module) -> bool:
    """A 3 x 3 convolution with a border of one zero, and nothing else."""
    return (
        type(conv) is nn.Conv2d
        and conv.kernel_size == (3, 3)
        and conv.padding == (1, 1)
        and conv.padding_mode == "zeros"
        and conv.stride == conv.dilation == (1, 1)
        and conv.groups == 1
    )

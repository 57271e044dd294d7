"""RoIAlign (He et al., ICCV 2017): bilinear samples on a grid in each bin, averaged or maximised.

Averaging is a weighted sum of pixels, so a bin is a bag of pixels with weights: an embedding bag,
for which torch has fused kernels, its gradient included.

Shapes: B images, C channels, H W pixels, R regions, P samples; a region is image, x1, y1, x2, y2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gemini_det3d.geometry import send
from gemini_det3d.ops.mmcv_ext.gradients import pulled_back
from gemini_det3d.ops.scatter import first_at

_MAX, _AVERAGE = 0, 1


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool each region into a grid of bins.

    Args:
        input: ``(B, C, H, W)``.
        rois: ``(R, 5)`` in the image's pixels.
        output: ``(R, C, aligned_height, aligned_width)``, written.
        argmax_y: Like ``output``, written where maxima are taken: row of the largest sample.
        argmax_x: Its column.
        aligned_height: Bins from top to bottom.
        aligned_width: Bins from left to right.
        spatial_scale: Pixels of the map a pixel of the image.
        sampling_ratio: Samples a bin along each axis; 0 takes one for each pixel begun.
        pool_mode: 0 takes the largest sample, 1 the mean.
        aligned: Pixel centres lie at halves; otherwise at whole numbers, sizes at least 1.
    """
    bins = (aligned_height, aligned_width)
    samples = _Samples.of(rois.to(_dtype(input)), bins, spatial_scale, sampling_ratio, aligned)
    if pool_mode == _AVERAGE:
        flat = _averaged(input.to(_dtype(input)), samples)
        output.copy_(flat.view(len(rois), *bins, -1).permute(0, 3, 1, 2))
        return
    largest, first = _maximised(input.to(_dtype(input)), samples)
    found = first < len(samples.y)
    # What compiled mmcv starts from, and says of a bin without samples.
    read = first.clamp(max=max(len(samples.y) - 1, 0))
    values = (
        torch.where(found, largest, -10000),
        *(torch.where(found, axis[read], -1) for axis in (samples.y, samples.x)),
    )
    for out, flat in zip((output, argmax_y, argmax_x), values):
        out.copy_(flat.view(len(rois), *bins, -1).permute(0, 3, 1, 2))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of the map, ``(B, C, H, W)`` into ``grad_input``; the rest as in the forward."""
    bins, dtype = (aligned_height, aligned_width), _dtype(grad_input)
    rois, grad = rois.to(dtype), grad_output.to(dtype).permute(0, 2, 3, 1)
    if pool_mode == _AVERAGE:
        samples = _Samples.of(rois, bins, spatial_scale, sampling_ratio, aligned)
        blank = torch.zeros_like(grad_input, dtype=dtype)  # linear: the values do not matter
        pulled = pulled_back(lambda x: _averaged(x, samples), [blank], grad.flatten(0, 2))
        grad_input.copy_(pulled[0])
        return
    y, x = (axis.permute(0, 2, 3, 1).to(dtype).flatten() for axis in (argmax_y, argmax_x))
    image = rois[:, 0].long().repeat_interleave(grad[0].numel())
    pixels, weights = _taps(image, y, x, grad_input.shape)
    channel = torch.arange(grad.shape[-1], device=grad.device).repeat(grad[..., 0].numel())
    flat = grad.new_zeros(grad_input.numel())
    places = pixels * grad.shape[-1] + channel[:, None]
    flat.index_add_(0, places.flatten(), (weights * grad.reshape(-1, 1)).flatten())
    batch, channels, height, width = grad_input.shape
    grad_input.copy_(flat.view(batch, height, width, channels).permute(0, 3, 1, 2))


@dataclass(frozen=True)
class _Samples:
    """Where the map is read, bin after bin: ``(P,)`` each; ``(R * bins,)`` counts.

    Attributes:
        image: Index of the image.
        y: Row, in pixels of the map.
        x: Column.
        counts: Samples of each bin.
    """

    image: Tensor
    y: Tensor
    x: Tensor
    counts: Tensor

    @classmethod
    def of(
        cls, rois: Tensor, bins: tuple[int, int], scale: float, ratio: int, aligned: bool
    ) -> _Samples:
        corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
        end, start = corners.flip(1).split(2, dim=1)  # y, x each
        size = end - start
        if not aligned:
            size = size.clamp(min=1)
        step = size / send(bins, size.device, size.dtype)  # (R, 2), y and x, a bin
        grid = torch.full_like(step, ratio) if ratio > 0 else step.ceil().clamp(min=0)
        per_bin = grid.prod(dim=1).long()
        counts = per_bin.repeat_interleave(bins[0] * bins[1])
        bin_of = torch.arange(len(counts), device=rois.device).repeat_interleave(counts)
        first = counts.cumsum(0) - counts
        within = torch.arange(len(bin_of), device=rois.device) - first[bin_of]
        roi, cell = bin_of // (bins[0] * bins[1]), bin_of % (bins[0] * bins[1])
        columns = grid[roi, 1].long()
        axes = []
        for axis, place, sub in (
            (0, cell // bins[1], within // columns),
            (1, cell % bins[1], within % columns),
        ):
            width = step[roi, axis]
            axes.append(start[roi, axis] + place * width + (sub + 0.5) * width / grid[roi, axis])
        return cls(rois[roi, 0].long(), axes[0], axes[1], counts)


def _averaged(maps: Tensor, samples: _Samples) -> Tensor:
    """Mean of each bin's samples: ``(R * bins, C)``, 0 for a bin without any."""
    pixels, weights = _taps(samples.image, samples.y, samples.x, maps.shape)
    share = 1 / samples.counts.clamp(min=1).to(weights.dtype)
    weights = weights * share.repeat_interleave(samples.counts)[:, None]
    starts = 4 * (samples.counts.cumsum(0) - samples.counts)
    return F.embedding_bag(
        pixels.flatten(), _rows(maps), starts, mode="sum", per_sample_weights=weights.flatten()
    )


def _maximised(maps: Tensor, samples: _Samples) -> tuple[Tensor, Tensor]:
    """Largest sample of each bin and channel and which it is (P where there is none)."""
    pixels, weights = _taps(samples.image, samples.y, samples.x, maps.shape)
    values = F.embedding_bag(pixels, _rows(maps), mode="sum", per_sample_weights=weights)
    bin_of = torch.arange(len(samples.counts), device=maps.device)
    bin_of = bin_of.repeat_interleave(samples.counts)
    largest = values.new_zeros(len(samples.counts), values.shape[1])
    where = bin_of[:, None].expand_as(values)
    largest = largest.scatter_reduce(0, where, values, "amax", include_self=False)
    return largest, first_at(values, largest, bin_of)


def _taps(image: Tensor, y: Tensor, x: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """The four pixels that each sample reads and their weights: ``(P, 4)``, ``(P, 4)``.

    A sample up to one pixel outside reads the border; farther out it is 0.
    """
    _, _, height, width = shape
    exists = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.floor(), x.floor()
    down, right = y - top, x - left
    rows = [top.long(), (top + 1).clamp(max=height - 1).long()]
    columns = [left.long(), (left + 1).clamp(max=width - 1).long()]
    pixels = [(image * height + row) * width + column for row in rows for column in columns]
    weights = [v * h for v in (1 - down, down) for h in (1 - right, right)]
    return torch.stack(pixels, 1), torch.where(exists[:, None], torch.stack(weights, 1), 0)


def _rows(maps: Tensor) -> Tensor:
    """``(B, C, H, W)`` -> ``(B * H * W, C)``."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _dtype(maps: Tensor) -> torch.dtype:
    """At least float32, so that a pixel's place is exact in half precision, too."""
    return torch.promote_types(maps.dtype, torch.float32)

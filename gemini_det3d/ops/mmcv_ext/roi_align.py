"""RoIAlign (He et al., ICCV 2017): bilinear samples on a grid in each bin, averaged or maximised.

Averaging is a weighted sum of pixels, so a bin is a bag of pixels with weights: on a GPU an
embedding bag, for which torch has fused kernels, its gradient included; on a CPU loops over bins.

Shapes: B images, C channels, H W pixels, R regions, P samples; a region is image, x1, y1, x2, y2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gemini_det3d.geometry import send
from gemini_det3d.ops.mmcv_ext import device
from gemini_det3d.ops.mmcv_ext.gradients import pulled_back
from gemini_det3d.ops.scatter import first_at

_MAX, _AVERAGE = 0, 1
# Row and column of a bin without samples.
_NO_SAMPLE = -1


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
    regions = _Regions.of(rois.to(_dtype(input)), bins, spatial_scale, sampling_ratio, aligned)
    if pool_mode == _AVERAGE and not device.takes_torch(input):
        output.copy_(_mean_on_cpu(input.to(_dtype(input)), regions))
        return
    samples = regions.samples()
    if pool_mode == _AVERAGE:
        flat = _averaged(input.to(_dtype(input)), samples)
        output.copy_(flat.view(len(rois), *bins, input.shape[1]).permute(0, 3, 1, 2))
        return
    largest, first = _maximised(input.to(_dtype(input)), samples)
    # What compiled mmcv starts from, and says of a bin without samples.
    largest = torch.where(first < len(samples.y), largest, -10000)
    places = (F.pad(axis, (0, 1), value=_NO_SAMPLE)[first] for axis in (samples.y, samples.x))
    for out, flat in zip((output, argmax_y, argmax_x), (largest, *places)):
        out.copy_(flat.view(len(rois), *bins, input.shape[1]).permute(0, 3, 1, 2))


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
        regions = _Regions.of(rois, bins, spatial_scale, sampling_ratio, aligned)
        if not device.takes_torch(grad_output):
            grad_input.copy_(_mean_on_cpu_backward(grad, regions, grad_input))
            return
        samples = regions.samples()
        blank = torch.zeros_like(grad_input, dtype=dtype)  # linear: the values do not matter
        pulled = pulled_back(lambda x: _averaged(x, samples), [blank], grad.flatten(0, 2))
        grad_input.copy_(pulled[0])
        return
    y, x = (axis.permute(0, 2, 3, 1).to(dtype).flatten() for axis in (argmax_y, argmax_x))
    y = torch.where(y == _NO_SAMPLE, -2, y)  # beside the map, whose gradient it has none of
    image = rois[:, 0].long().repeat_interleave(grad[:1].numel())
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


@dataclass(frozen=True)
class _Regions:
    """Regions on the map and how finely each is read.

    Attributes:
        image: ``(R,)`` index of the image.
        start: ``(R, 2)`` y, x of the first corner, in pixels of the map.
        step: ``(R, 2)`` height and width of a bin.
        grid: ``(R, 2)`` samples of a bin along y and x, whole numbers in the maps' precision.
        bins: From top to bottom, from left to right.
    """

    image: Tensor
    start: Tensor
    step: Tensor
    grid: Tensor
    bins: tuple[int, int]

    @classmethod
    def of(
        cls, rois: Tensor, bins: tuple[int, int], scale: float, ratio: int, aligned: bool
    ) -> _Regions:
        corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
        end, start = corners.flip(1).split(2, dim=1)  # y, x each
        size = end - start
        if not aligned:
            size = size.clamp(min=1)
        step = size / send(bins, size.device, size.dtype)
        grid = torch.full_like(step, ratio) if ratio > 0 else step.ceil().clamp(min=0)
        return cls(rois[:, 0].long(), start, step, grid, bins)

    def samples(self) -> _Samples:
        """Every sample of every bin."""
        num_bins = self.bins[0] * self.bins[1]
        counts = self.grid.prod(dim=1).long().repeat_interleave(num_bins)
        bin_of, within = _numbered(counts)
        roi, cell = bin_of // num_bins, bin_of % num_bins
        columns = self.grid[roi, 1].long()
        y = self._places(0, roi, cell // self.bins[1], within // columns)
        x = self._places(1, roi, cell % self.bins[1], within % columns)
        return _Samples(self.image[roi], y, x, counts)

    def along(self, axis: int) -> tuple[Tensor, Tensor]:
        """Samples of all bins along y (0) or x (1), and how many each bin has."""
        counts = self.grid[:, axis].long().repeat_interleave(self.bins[axis])
        bin_of, within = _numbered(counts)
        roi, place = bin_of // self.bins[axis], bin_of % self.bins[axis]
        return self._places(axis, roi, place, within), counts

    def _places(self, axis: int, roi: Tensor, place: Tensor, within: Tensor) -> Tensor:
        width = self.step[roi, axis]
        inner = (within + 0.5) * width / self.grid[roi, axis]
        return self.start[roi, axis] + place * width + inner


def _numbered(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For each of so many members of each group: its group, its place there."""
    group = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    first = counts.cumsum(0) - counts
    return group, torch.arange(len(group), device=counts.device) - first[group]


def _mean_on_cpu(maps: Tensor, regions: _Regions) -> Tensor:
    """Means of the regions' bins: ``(R, C, bins)``."""
    from gemini_det3d.ops import _roi_align_numba

    out = torch.zeros(len(regions.image), *regions.bins, maps.shape[1], dtype=maps.dtype)
    pages = maps.detach().permute(0, 2, 3, 1).contiguous()
    _roi_align_numba.mean(pages.numpy(), *_arrays(regions, maps.shape), out.numpy())
    return out.permute(0, 3, 1, 2)


def _mean_on_cpu_backward(grad: Tensor, regions: _Regions, like: Tensor) -> Tensor:
    """Gradient of the maps, ``(B, C, H, W)`` as ``like``, from ``(R, bins, C)``."""
    from gemini_det3d.ops import _roi_align_numba

    batch, channels, height, width = like.shape
    out = torch.zeros(batch, height, width, channels, dtype=grad.dtype)
    share = grad.clone(memory_format=torch.contiguous_format).numpy()
    _roi_align_numba.mean_backward(share, *_arrays(regions, like.shape), out.numpy())
    return out.permute(0, 3, 1, 2)


def _arrays(regions: _Regions, shape: torch.Size) -> tuple:
    """Images, rows and columns as the kernels take them; they read without looking."""
    if len(regions.image) and not 0 <= regions.image.min() <= regions.image.max() < shape[0]:
        named = f"{int(regions.image.min())} to {int(regions.image.max())}"
        raise IndexError(f"regions are in images {named} of a batch of {shape[0]}")
    axes = []
    for axis, length in enumerate(shape[2:]):
        place, counts = regions.along(axis)
        exists, low, high, far = _neighbours(place, length)
        starts = F.pad(counts.cumsum(0), (1, 0))
        weights = torch.where(exists, 1 - far, 0), torch.where(exists, far, 0)
        axes.append(tuple(part.numpy() for part in (starts, low, high, *weights)))
    return regions.image.numpy(), *axes


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
    is_row, top, bottom, down = _neighbours(y, height)
    is_column, left, right, across = _neighbours(x, width)
    pixels = [(image * height + row) * width + column
              for row in (top, bottom) for column in (left, right)]  # fmt: skip
    weights = [v * h for v in (1 - down, down) for h in (1 - across, across)]
    exists = (is_row & is_column)[:, None]
    return torch.stack(pixels, 1), torch.where(exists, torch.stack(weights, 1), 0)


def _neighbours(place: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Along one axis: whether it is on the map, the two pixels around it, the second's weight."""
    exists = (place >= -1) & (place <= length)
    place = torch.where(exists, place, 0).clamp(0, length - 1)
    low = place.floor()
    return exists, low.long(), (low + 1).clamp(max=length - 1).long(), place - low


def _rows(maps: Tensor) -> Tensor:
    """``(B, C, H, W)`` -> ``(B * H * W, C)``."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _dtype(maps: Tensor) -> torch.dtype:
    """At least float32, so that a pixel's place is exact in half precision, too."""
    return torch.promote_types(maps.dtype, torch.float32)

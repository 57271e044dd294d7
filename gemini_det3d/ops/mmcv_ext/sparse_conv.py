"""Sparse convolution (Graham et al., CVPR 2018) for mmcv's own layers, where spconv is missing.

For each tap of the kernel: which input voxel meets which output voxel. A convolution is then one
matrix product a tap, a maximum one reduction.

Shapes: N voxels in, M out, D axes, K taps, I O channels. A voxel is batch, then D coordinates.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor


def get_indice_pairs_forward(
    indices: Tensor,
    batchSize: int,
    outSpatialShape: list[int],
    spatialShape: list[int],
    kernelSize: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    outPadding: list[int],
    _subM: int,
    _transpose: int,
) -> list[Tensor]:
    """Find the output voxels and what meets at each tap.

    Args:
        indices: ``(N, 1 + D)`` int32, all different.
        batchSize: Samples.
        outSpatialShape: Cells of the output along each axis.
        spatialShape: Cells of the input.
        kernelSize: Taps along each axis.
        stride: Not read by a submanifold convolution.
        padding: Half the kernel in a submanifold convolution, whatever is given.
        dilation: Cells between taps.
        outPadding: Accounted for in ``outSpatialShape``.
        _subM: Whether the output voxels are the input voxels.
        _transpose: Whether input and output change roles.

    Returns:
        ``(M, 1 + D)`` int32 voxels; ``(K, 2, N)`` int32 rows in and out, -1 where unused; ``(K,)``
        int32, how many are used.
    """
    del batchSize, spatialShape, outPadding
    if _subM:
        stride, padding = [1] * len(kernelSize), [size // 2 for size in kernelSize]
    met, exists = _met(indices, outSpatialShape, kernelSize, stride, padding, dilation, _transpose)
    shape = [1, *outSpatialShape]
    keys = _keys(met, shape)
    if _subM:
        voxels, known = indices, _keys(indices.long(), shape)
        known, row_of = known.sort()
        row = torch.searchsorted(known, keys).clamp(max=max(len(known) - 1, 0))
        exists = exists & (known[row] == keys if len(known) else exists)
        out = row_of[row] if len(known) else row
    else:
        sentinel = torch.iinfo(torch.int64).max
        known = torch.unique(torch.where(exists, keys, sentinel))
        voxels = _coordinates(known[known != sentinel], shape)
        out = torch.searchsorted(known, keys)
    return [voxels.int(), _packed(exists, out), exists.sum(1).int()]


get_indice_pairs_2d_forward = get_indice_pairs_forward
get_indice_pairs_3d_forward = get_indice_pairs_forward
get_indice_pairs_4d_forward = get_indice_pairs_forward


def indice_conv_forward(
    features: Tensor,
    filters: Tensor,
    indicePairs: Tensor,
    indiceNum: Tensor,
    numActOut: int,
    _inverse: int,
    _subM: int,
) -> Tensor:
    """Convolve: ``(N, I)`` by ``(taps along each axis, I, O)`` -> ``(M, O)``.

    ``_inverse`` goes from the output voxels back to the input voxels. In the dtype of the filters,
    under autocast too.
    """
    kernels, features = filters.flatten(0, -3), features.to(filters.dtype)
    out = features.new_zeros(numActOut, filters.shape[-1])
    with torch.autocast(features.device.type, enabled=False):
        for tap, source, target in _taps(indicePairs, indiceNum, _inverse):
            out.index_add_(0, target, features[source] @ kernels[tap])
    return out


def fused_indice_conv_forward(
    features: Tensor,
    filters: Tensor,
    bias: Tensor,
    indicePairs: Tensor,
    indiceNum: Tensor,
    numActOut: int,
    _inverse: int,
    _subM: int,
) -> Tensor:
    """Convolve and add ``(O,)``."""
    pairs = (indicePairs, indiceNum, numActOut, _inverse, _subM)
    return indice_conv_forward(features, filters, *pairs) + bias


def indice_conv_backward(
    features: Tensor,
    filters: Tensor,
    outGrad: Tensor,
    indicePairs: Tensor,
    indiceNum: Tensor,
    _inverse: int,
    _subM: int,
) -> list[Tensor]:
    """Gradients of the features and the filters, in the dtype of the filters."""
    kernels, features = filters.flatten(0, -3), features.to(filters.dtype)
    grad_features, grad_kernels = torch.zeros_like(features), torch.zeros_like(kernels)
    with torch.autocast(features.device.type, enabled=False):
        for tap, source, target in _taps(indicePairs, indiceNum, _inverse):
            grad = outGrad[target]
            grad_features.index_add_(0, source, grad @ kernels[tap].T)
            grad_kernels[tap] = features[source].T @ grad
    return [grad_features, grad_kernels.view_as(filters)]


def indice_maxpool_forward(
    features: Tensor, indicePairs: Tensor, indiceNum: Tensor, numAct: int
) -> Tensor:
    """Largest value that meets each output voxel, 0 at least: ``(N, C)`` -> ``(M, C)``."""
    out = features.new_zeros(numAct, features.shape[1])
    for _, source, target in _taps(indicePairs, indiceNum):
        read = features[source]
        out.scatter_reduce_(0, target[:, None].expand_as(read), read, "amax")
    return out


def indice_maxpool_backward(
    features: Tensor, outFeatures: Tensor, outGrad: Tensor, indicePairs: Tensor, indiceNum: Tensor
) -> Tensor:
    """Gradient of the features; all that attain a maximum receive it."""
    grad = torch.zeros_like(features)
    for _, source, target in _taps(indicePairs, indiceNum):
        attained = features[source] == outFeatures[target]
        grad.index_add_(0, source, outGrad[target] * attained)
    return grad


def _met(
    indices: Tensor,
    out_shape: list[int],
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transpose: int,
) -> tuple[Tensor, Tensor]:
    """Output voxel that each input voxel meets at each tap, and if there is one.

    ``(K, N, 1 + D)`` int64 and ``(K, N)`` bool; taps in row-major order.
    """
    device = indices.device
    grids = torch.meshgrid(*[torch.arange(size, device=device) for size in kernel], indexing="ij")
    columns, fits = [indices[:, 0].long().expand(grids[0].numel(), -1)], []
    for axis, grid in enumerate(grids):
        shift = padding[axis] - grid.flatten()[:, None] * dilation[axis]
        place = indices[:, 1 + axis].long()
        if transpose:
            place = place * stride[axis] - shift
        else:
            place = place + shift
            fits.append(place.remainder(stride[axis]) == 0)
            place = place.div(stride[axis], rounding_mode="floor")
        fits.append((place >= 0) & (place < out_shape[axis]))
        columns.append(place)
    return torch.stack(columns, dim=-1), functools.reduce(torch.logical_and, fits)


def _keys(voxels: Tensor, shape: list[int]) -> Tensor:
    """One int64 for each voxel ``(..., 1 + D)``; the batch is the slowest axis."""
    key = voxels[..., 0]
    for axis in range(1, len(shape)):
        key = key * shape[axis] + voxels[..., axis]
    return key


def _coordinates(keys: Tensor, shape: list[int]) -> Tensor:
    columns = []
    for size in reversed(shape[1:]):
        columns.append(keys % size)
        keys = keys // size
    return torch.stack([keys, *reversed(columns)], dim=-1)


def _packed(exists: Tensor, out: Tensor) -> Tensor:
    """Rows in and out of the pairs that exist, first in each tap, then -1: ``(K, 2, N)``."""
    order = (~exists).to(torch.uint8).argsort(dim=1, stable=True)
    pairs = torch.stack([order, out.gather(1, order)], dim=1)
    return torch.where(exists.gather(1, order)[:, None], pairs, -1).int()


def _taps(pairs: Tensor, counts: Tensor, inverse: int = 0) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Of each tap that is used: its number, rows to read, rows to write."""
    for tap, count in enumerate(counts.tolist()):
        if count:
            rows = pairs[tap, :, :count].long()
            yield tap, rows[1 if inverse else 0], rows[0 if inverse else 1]

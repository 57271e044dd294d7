"""Points into voxels and back, for any number of points on any device.

mmcv's ``DynamicScatter`` has no CPU kernel, searches the voxels anew in every call, and mmdet3d
maps voxels back to points through a dense canvas (721 MB an image at KITTI's resolution). Here the
voxels are found once per batch (:class:`VoxelIndex`) and every reduction and every way back is an
index.

Shapes: N points, M voxels, C channels; coordinates are ``(batch, z, y, x)`` as in mmdet3d.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Key of points that lie in no voxel: behind all others.
_NO_VOXEL = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class VoxelIndex:
    """Which voxel each point lies in.

    Attributes:
        coors: ``(M, D)`` coordinates of the voxels that hold a point, in lexicographic order, in
            the dtype of the points' coordinates.
        of_point: ``(N,)`` int64, row of ``coors`` that each point lies in.
    """

    coors: Tensor
    of_point: Tensor

    def __len__(self) -> int:
        """Number of voxels M."""
        return self.coors.shape[0]

    @classmethod
    def from_coors(cls, coors: Tensor) -> VoxelIndex:
        """Find the voxels of points.

        Args:
            coors: ``(N, D)`` integer voxel coordinates, none negative (a negative one marks a point
                outside the range; drop those points first).

        Raises:
            ValueError: A negative coordinate, or a grid too large for 63 bits.
        """
        index, rows = find_voxels(coors)
        if rows is not None:
            raise ValueError("negative voxel coordinates mark points outside the range; drop them")
        return index


def find_voxels(coors: Tensor, kept: Tensor | None = None) -> tuple[VoxelIndex, Tensor | None]:
    """The voxels of the points that lie in one, for one answer of the device.

    Points are sorted by a key of their coordinates; all that the host must know (how many points
    are left, in how many voxels) is asked for at once.

    Args:
        coors: ``(N, D)`` integer voxel coordinates; a negative one marks a point outside the range.
        kept: ``(N,)`` bool, points to look at; None: all.

    Returns:
        The voxels of the points that are left, and those points' rows in ascending order; None
        where all are.

    Raises:
        ValueError: A grid too large for 63 bits.
    """
    coors64 = coors.long()
    if coors64.shape[0] == 0:
        return VoxelIndex(coors, coors64.new_zeros(0)), None
    inside = coors64.amin(dim=1) >= 0
    inside = inside if kept is None else inside & kept
    sizes = coors64.amax(dim=0) + 1
    key, order = torch.where(inside, _pack(coors64, sizes), _NO_VOXEL).sort(stable=True)
    begins = torch.ones_like(inside)
    begins[1:] = key[1:] != key[:-1]
    number = begins.cumsum(0) - 1  # of the voxel of each sorted point
    num_kept = inside.sum()
    last = number.gather(0, (num_kept - 1).clamp(min=0)[None])[0] + 1
    is_too_large = sizes.double().prod() >= 2.0**63
    num_kept, num_voxels, is_too_large = torch.stack([num_kept, last, is_too_large]).tolist()
    if is_too_large:
        raise ValueError(f"a voxel grid of {sizes.tolist()} has too many cells for 63-bit keys")
    if num_kept == 0:
        return VoxelIndex(coors[:0], number[:0]), order[:0]
    of_point = torch.empty_like(number).scatter(0, order, number)
    first = torch.searchsorted(number, torch.arange(num_voxels, device=number.device))
    voxels = coors[order[first]]
    if num_kept == len(coors):
        return VoxelIndex(voxels, of_point), None
    rows = order[:num_kept].sort().values
    return VoxelIndex(voxels, of_point[rows]), rows


def scatter_max(features: Tensor, index: VoxelIndex) -> Tensor:
    """Largest value of each channel among a voxel's points.

    The gradient goes to one point, the first in order among equals, as mmcv's CUDA kernel has it.

    Args:
        features: ``(N, C)``.
        index: Voxels of the N points.

    Returns:
        ``(M, C)``.
    """
    return _ScatterMax.apply(features, index.of_point, len(index))


def scatter_mean(features: Tensor, index: VoxelIndex) -> Tensor:
    """Mean of each channel over a voxel's points: ``(N, C)`` -> ``(M, C)``."""
    total = features.new_zeros(len(index), features.shape[1])
    total = total.index_add(0, index.of_point, features)
    ones = torch.ones_like(index.of_point)
    count = ones.new_zeros(len(index)).index_add(0, index.of_point, ones)
    return total / count[:, None].to(features.dtype)


def dynamic_scatter(features: Tensor, coors: Tensor, reduce: str = "max") -> tuple[Tensor, Tensor]:
    """mmcv's ``dynamic_scatter`` for any device: points with a negative coordinate are left out.

    Args:
        features: ``(N, C)``.
        coors: ``(N, D)`` integer voxel coordinates.
        reduce: 'max' or 'mean'.

    Returns:
        ``(M, C)`` features and ``(M, D)`` coordinates of the voxels.

    Raises:
        ValueError: Another ``reduce``.
    """
    if reduce not in ("max", "mean"):
        raise ValueError(f"reduce must be 'max' or 'mean', got {reduce!r}")
    if features.is_cuda:
        from mmcv.ops import dynamic_scatter as mmcv_dynamic_scatter

        return mmcv_dynamic_scatter(features.contiguous(), coors.contiguous(), reduce)
    kept = (coors >= 0).all(dim=1)
    index = VoxelIndex.from_coors(coors[kept])
    scatter = scatter_max if reduce == "max" else scatter_mean
    return scatter(features[kept], index), index.coors


class DynamicScatter(nn.Module):
    """``mmcv.ops.DynamicScatter`` for any device: same constructor, same call."""

    def __init__(self, voxel_size: list, point_cloud_range: list, average_points: bool) -> None:
        super().__init__()
        self.voxel_size = voxel_size
        self.point_cloud_range = point_cloud_range
        self.average_points = average_points

    def forward(self, points: Tensor, coors: Tensor) -> tuple[Tensor, Tensor]:
        """``(N, C)`` features and ``(N, D)`` coordinates -> ``(M, C)`` and ``(M, D)``."""
        return dynamic_scatter(points, coors, "mean" if self.average_points else "max")


class _ScatterMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: Tensor, of_point: Tensor, num_voxels: int) -> Tensor:
        if has_kernel(features):
            largest, first = _largest_on_cpu(features, of_point, num_voxels)
        else:
            where = of_point[:, None].expand_as(features)
            largest = features.new_zeros(num_voxels, features.shape[1])
            largest = largest.scatter_reduce(0, where, features, "amax", include_self=False)
            first = first_at(features, largest, of_point) if features.requires_grad else None
        if features.requires_grad:
            ctx.save_for_backward(first)
            ctx.num_points = features.shape[0]
        return largest

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        (first,) = ctx.saved_tensors
        grad_features = grad.new_zeros(ctx.num_points, grad.shape[1])
        if first.dtype == torch.int64:
            return grad_features.scatter_(0, first, grad), None, None
        from gemini_det3d.ops._voxels_numba import give_to_first

        give_to_first(grad.contiguous().numpy(), first.numpy(), grad_features.numpy())
        return grad_features, None, None


def has_kernel(features: Tensor) -> bool:
    """Whether the maximum is found by a numba kernel: on a CPU, in full precision."""
    from gemini_det3d.fusion.kernels.torch_versions import is_compiling  # ops needs no operator

    is_full = features.dtype in (torch.float32, torch.float64)
    return features.device.type == "cpu" and is_full and not is_compiling()


def _largest_on_cpu(features: Tensor, of_point: Tensor, num_voxels: int) -> tuple[Tensor, Tensor]:
    """Maxima ``(M, C)`` and the first row that attains each, int32."""
    from gemini_det3d.ops._voxels_numba import largest

    out = features.new_zeros(num_voxels, features.shape[1])
    first = torch.full_like(out, -1, dtype=torch.int32)
    values = features.detach().contiguous()
    largest(values.numpy(), of_point.numpy(), out.numpy(), first.numpy())
    return out, first


def first_at(features: Tensor, largest: Tensor, of_point: Tensor) -> Tensor:
    """Row of the first point that attains each voxel's maximum: ``(M, C)`` int64."""
    num_points = features.shape[0]
    rows = torch.arange(num_points, device=features.device)[:, None].expand_as(features)
    # NaN equals nothing, so a voxel that holds one is attained by its NaN points instead.
    attained = (features == largest[of_point]) | features.isnan()
    rows = torch.where(attained, rows, num_points)
    first = torch.full_like(largest, num_points, dtype=torch.long)
    where = of_point[:, None].expand_as(features)
    return first.scatter_reduce(0, where, rows, "amin", include_self=True)


def _pack(coors: Tensor, sizes: Tensor) -> Tensor:
    """Mixed-radix key of each row; int64 keys sort as the rows do, 70 times faster than rows."""
    key = coors[:, 0]
    for axis in range(1, coors.shape[1]):
        key = key * sizes[axis] + coors[:, axis]
    return key

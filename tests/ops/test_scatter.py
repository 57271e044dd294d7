"""Scatter against a loop over voxels, on CPU always and against mmcv where CUDA exists."""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.ops import (
    DynamicScatter,
    VoxelIndex,
    dynamic_scatter,
    find_voxels,
    scatter_max,
    scatter_mean,
)


@pytest.fixture
def by_torch(monkeypatch):
    """As on a GPU: no numba kernel."""
    monkeypatch.setattr("gemini_det3d.ops.scatter.has_kernel", lambda features: False)


def cloud(num_points: int, num_channels: int = 5, cells: int = 3, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num_points, num_channels, generator=generator, dtype=torch.float64)
    coors = torch.randint(0, cells, (num_points, 4), generator=generator, dtype=torch.int32)
    return features, coors


def by_hand(features, coors, reduce):
    """A dictionary of voxels, filled point by point."""
    voxels = {}
    for row, key in zip(features, map(tuple, coors.tolist())):
        voxels.setdefault(key, []).append(row)
    keys = sorted(voxels)
    pool = {"max": lambda rows: rows.max(0).values, "mean": lambda rows: rows.mean(0)}[reduce]
    rows = [pool(torch.stack(voxels[key])) for key in keys]
    return torch.stack(rows), torch.tensor(keys, dtype=coors.dtype)


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("num_points", [1, 2, 97])
def test_dynamic_scatter_equals_a_loop_over_voxels(num_points, reduce):
    features, coors = cloud(num_points)
    expected, expected_coors = by_hand(features, coors, reduce)
    pooled, voxel_coors = dynamic_scatter(features, coors, reduce)
    assert torch.equal(voxel_coors, expected_coors)
    torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_dynamic_scatter_of_no_points_is_empty(reduce):
    features, coors = cloud(0)
    pooled, voxel_coors = dynamic_scatter(features, coors, reduce)
    assert pooled.shape == (0, 5) and voxel_coors.shape == (0, 4)


def test_dynamic_scatter_leaves_out_points_outside_the_range():
    features, coors = cloud(23)
    coors[::3] = -1
    kept = coors[:, 0] >= 0
    expected, expected_coors = by_hand(features[kept], coors[kept], "max")
    pooled, voxel_coors = dynamic_scatter(features, coors, "max")
    assert torch.equal(voxel_coors, expected_coors) and torch.equal(pooled, expected)


def test_dynamic_scatter_rejects_an_unknown_reduction():
    with pytest.raises(ValueError, match="median"):
        dynamic_scatter(*cloud(3), "median")


@pytest.mark.parametrize("scatter", [scatter_max, scatter_mean])
def test_scatter_gradient_is_right(scatter):
    features, coors = cloud(19)
    index = VoxelIndex.from_coors(coors)
    assert torch.autograd.gradcheck(lambda f: scatter(f, index), features.requires_grad_())


def test_scatter_max_gives_the_gradient_of_a_tie_to_the_first_point():
    features = torch.tensor([[1.0, 5.0], [3.0, 5.0], [3.0, 2.0]], requires_grad=True)
    index = VoxelIndex.from_coors(torch.zeros(3, 4, dtype=torch.int32))
    scatter_max(features, index).sum().backward()
    assert features.grad.tolist() == [[0, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernel_of_the_maximum_equals_torch_operations(dtype, request):
    """Ties and NaN included, and which point gets the gradient."""
    features, coors = cloud(97, cells=2)
    features = (features * 2).round().to(dtype)  # many equals
    features[3, 1] = features[17, 1] = features[18, 4] = torch.nan
    index = VoxelIndex.from_coors(coors)

    def maxima_and_gradient():
        leaf = features.clone().requires_grad_()
        maxima = scatter_max(leaf, index)
        weights = torch.arange(maxima.numel(), dtype=dtype).view(maxima.shape)
        (maxima * weights).nansum().backward()
        return maxima.detach(), leaf.grad

    kernel = maxima_and_gradient()
    request.getfixturevalue("by_torch")
    for found, expected in zip(kernel, maxima_and_gradient()):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_scatter_max_of_a_voxel_without_a_point_is_zero_and_gives_nobody_a_gradient():
    features = torch.tensor([[1.0], [-2.0]], requires_grad=True)
    index = VoxelIndex(torch.tensor([[0], [1], [2]]), torch.tensor([0, 2]))
    pooled = scatter_max(features, index)
    assert pooled.flatten().tolist() == [1, 0, -2]
    (pooled * torch.tensor([[3.0], [5.0], [7.0]])).sum().backward()
    assert features.grad.flatten().tolist() == [3, 7]


def test_scatter_max_of_nan_stays_in_its_voxel():
    features = torch.tensor([[float("nan")], [1.0], [2.0]], requires_grad=True)
    index = VoxelIndex.from_coors(torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]))
    pooled = scatter_max(features, index)
    pooled[1].sum().backward()
    assert pooled[0].isnan().all() and pooled[1].item() == 2
    assert features.grad[:, 0].tolist() == [0, 0, 1]


def test_voxel_index_maps_every_point_back_to_its_voxel():
    _, coors = cloud(101, cells=7)
    index = VoxelIndex.from_coors(coors)
    assert torch.equal(index.coors[index.of_point], coors)
    assert torch.equal(index.coors, torch.unique(coors, dim=0))


def test_voxel_index_rejects_negative_coordinates():
    with pytest.raises(ValueError, match="negative"):
        VoxelIndex.from_coors(torch.tensor([[0, -1, 0, 0]]))


def test_voxel_index_rejects_a_grid_that_its_keys_cannot_hold():
    with pytest.raises(ValueError, match="63-bit"):
        VoxelIndex.from_coors(torch.full((1, 4), 2**20))


def test_dynamic_scatter_module_takes_the_call_of_mmcv():
    features, coors = cloud(11)
    module = DynamicScatter([1, 1, 1], [0, 0, 0, 9, 9, 9], average_points=True)
    torch.testing.assert_close(module(features, coors)[0], by_hand(features, coors, "mean")[0])


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_dynamic_scatter_equals_the_cuda_op(cuda, reduce):
    features, coors = cloud(997, cells=5)
    features, coors = features.float(), coors
    on_cpu = dynamic_scatter(features, coors, reduce)
    on_gpu = dynamic_scatter(features.to(cuda), coors.to(cuda), reduce)
    order = torch.unique(on_gpu[1].cpu(), dim=0, return_inverse=True)[1].argsort()
    assert torch.equal(on_gpu[1].cpu()[order], on_cpu[1])
    torch.testing.assert_close(on_gpu[0].cpu()[order], on_cpu[0])


@pytest.mark.parametrize("num_points", [0, 1, 2, 97])
def test_find_voxels_leaves_out_points_outside_and_those_not_kept(num_points):
    _, coors = cloud(num_points)
    kept = torch.arange(num_points) % 3 > 0
    coors[1::5, 2] = -1
    index, rows = find_voxels(coors, kept)
    expected = (kept & (coors >= 0).all(dim=1)).nonzero()[:, 0]
    rows = torch.arange(num_points) if rows is None else rows
    assert torch.equal(rows, expected)
    assert torch.equal(index.coors[index.of_point], coors[rows])
    assert torch.equal(index.coors, torch.unique(coors[rows], dim=0))


def test_find_voxels_says_when_nothing_is_left_out():
    _, coors = cloud(97)
    index, rows = find_voxels(coors)
    again, _ = find_voxels(coors, torch.ones(97, dtype=torch.bool))
    assert rows is None and torch.equal(index.of_point, again.of_point)


def test_a_grid_too_large_for_the_keys_is_an_error():
    with pytest.raises(ValueError, match="63-bit"):
        find_voxels(torch.full((2, 4), 2**31 - 1, dtype=torch.int32))

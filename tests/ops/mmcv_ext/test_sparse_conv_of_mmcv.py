"""mmcv's sparse layers on our module against dense convolutions, gradients included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from compiled_cases import rand

SHAPE = (5, 7, 11)


def voxels(num: int = 61, channels: int = 3):
    """Voxels of two samples, all different, in no order."""
    order = torch.from_numpy(rand(1, 2 * 5 * 7 * 11).numpy().argsort())[:num]
    coors = torch.stack([order // 385, order // 77 % 5, order // 11 % 7, order % 11], 1).int()
    return rand(2, num, channels, low=-1), coors


def dense(features, coors, shape=SHAPE):
    """``(2, C, ...)`` volume, 0 where there is no voxel."""
    b, z, y, x = coors.long().T
    volume = features.new_zeros(2, *shape, features.shape[1])
    return volume.index_put((b, z, y, x), features).permute(0, 4, 1, 2, 3)


def kernel(layer):
    """A layer's weights ``(z, y, x, I, O)`` as torch's convolution has them."""
    return layer.weight.permute(4, 3, 0, 1, 2)


def compared(layer, twin, features, coors, ops):
    """A sparse layer against its dense twin, forward and backward; the sparse output."""
    leaf, other = (features.clone().requires_grad_() for _ in range(2))
    out = layer(ops.SparseConvTensor(leaf, coors, list(SHAPE), 2))
    volume = twin(dense(other, coors))
    torch.testing.assert_close(out.dense(), volume)
    volume.square().sum().backward()
    expected = layer.weight.grad.clone()
    layer.zero_grad()
    out.features.square().sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)
    torch.testing.assert_close(layer.weight.grad, expected)
    return out


def test_submanifold_convolution_is_the_dense_one_at_the_voxels(ops):
    torch.manual_seed(0)
    features, coors = voxels()
    mask = dense(torch.ones(len(coors), 1), coors)
    layer = ops.SubMConv3d(3, 4, 3, bias=False)
    out = compared(layer, lambda v: F.conv3d(v, kernel(layer), padding=1) * mask, features, coors,
                   ops)  # fmt: skip
    assert out.indices.equal(coors)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
def test_sparse_convolution_is_the_dense_one(ops, stride, padding):
    torch.manual_seed(0)
    features, coors = voxels()
    layer = ops.SparseConv3d(3, 4, 3, stride=stride, padding=padding, bias=False)

    def twin(volume):
        return F.conv3d(volume, kernel(layer), stride=stride, padding=padding)

    out = compared(layer, twin, features, coors, ops)
    assert len(out.indices.unique(dim=0)) == len(out.indices)


def test_sparse_convolution_along_one_axis_is_the_dense_one(ops):
    torch.manual_seed(0)
    features, coors = voxels()
    layer = ops.SparseConv3d(3, 4, (3, 1, 1), stride=(2, 1, 1), bias=False)
    compared(layer, lambda v: F.conv3d(v, kernel(layer), stride=(2, 1, 1)), features, coors, ops)


def test_transposed_sparse_convolution_is_the_dense_one(ops):
    torch.manual_seed(0)
    features, coors = voxels(17)
    layer = ops.SparseConvTranspose3d(3, 4, 3, stride=2, padding=1, bias=False)

    def twin(volume):
        return F.conv_transpose3d(volume, kernel(layer).transpose(0, 1), stride=2, padding=1)

    compared(layer, twin, features, coors, ops)


def test_inverse_convolution_returns_to_the_voxels_it_came_from(ops):
    torch.manual_seed(0)
    features, coors = voxels()
    down = ops.SparseConv3d(3, 4, 3, stride=2, padding=1, bias=False, indice_key="down")
    up = ops.SparseInverseConv3d(4, 5, 3, indice_key="down", bias=False)
    tensor = down(ops.SparseConvTensor(features, coors, list(SHAPE), 2))
    out = up(tensor)
    full = F.conv_transpose3d(tensor.dense(), kernel(up).transpose(0, 1), stride=2, padding=1)
    b, z, y, x = coors.long().T
    assert out.indices.equal(coors)
    torch.testing.assert_close(out.features, full.permute(0, 2, 3, 4, 1)[b, z, y, x])


def test_sparse_maximum_is_the_dense_one_of_what_is_positive_with_gradients(ops):
    features, coors = voxels()
    leaf, other = (features.clone().requires_grad_() for _ in range(2))
    pool = ops.SparseMaxPool3d(3, stride=2, padding=1)
    out = pool(ops.SparseConvTensor(leaf, coors, list(SHAPE), 2))
    volume = F.max_pool3d(dense(other, coors), 3, stride=2, padding=1).clamp(min=0)
    torch.testing.assert_close(out.dense(), volume)
    out.dense().square().sum().backward()
    volume.square().sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)


def test_sparse_convolution_of_no_voxels_is_empty(ops):
    features, coors = voxels(0)
    for layer in (ops.SubMConv3d(3, 4, 3), ops.SparseConv3d(3, 4, 3, stride=2, padding=1)):
        out = layer(ops.SparseConvTensor(features, coors, list(SHAPE), 2))
        assert out.features.shape == (0, 4)


def test_stack_of_sparse_layers_trains_without_spconv(ops):
    torch.manual_seed(0)
    net = ops.SparseSequential(
        ops.SubMConv3d(3, 8, 3, padding=1, bias=False, indice_key="a"),
        torch.nn.BatchNorm1d(8),
        torch.nn.ReLU(),
        ops.SparseConv3d(8, 8, 3, stride=2, padding=1, bias=False),
        torch.nn.BatchNorm1d(8),
        torch.nn.ReLU(),
    )
    features, coors = voxels()
    out = net(ops.SparseConvTensor(features, coors, list(SHAPE), 2)).dense()
    out.square().sum().backward()
    assert out.shape == (2, 8, 3, 4, 6)
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sparse_layers_under_autocast_compute_in_the_dtype_of_their_filters(ops, dtype):
    torch.manual_seed(0)
    layer, (features, coors) = ops.SubMConv3d(3, 4, 3), voxels()
    outs, grads = [], []
    for is_on in (True, False):
        leaf = features.to(dtype if is_on else torch.float32).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_on):
            out = layer(ops.SparseConvTensor(leaf, coors, list(SHAPE), 2)).features
            out.square().sum().backward()
        outs.append(out)
        grads.append(leaf.grad.float())
    near = dict(rtol=0, atol=0) if dtype == torch.float32 else dict(rtol=0.03, atol=0.1)
    torch.testing.assert_close(*outs, **near)
    torch.testing.assert_close(*grads, **near)

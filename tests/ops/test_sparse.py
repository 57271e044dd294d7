"""Sparse convolution on CPU against a dense one, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gemini_det3d.ops import enable_spconv_on_cpu

spconv = pytest.importorskip("spconv.pytorch")


def voxels(num: int = 41, channels: int = 3, shape: tuple = (5, 7, 11)):
    generator = torch.Generator().manual_seed(1)
    cells = torch.randperm(5 * 7 * 11, generator=generator)[:num]
    z, y, x = cells // 77, cells // 11 % 7, cells % 11
    coors = torch.stack([torch.zeros_like(x), z, y, x], dim=1).int()
    return torch.randn(num, channels, generator=generator), coors, shape


def run(features, coors, shape):
    """A submanifold and a strided convolution, sparse; its dense twin; gradients of both."""
    torch.manual_seed(2)
    sub = spconv.SubMConv3d(3, 4, 3, padding=1, bias=False)
    down = spconv.SparseConv3d(4, 6, 3, stride=2, padding=1, bias=False)
    features = features.clone().requires_grad_()
    tensor = spconv.SparseConvTensor(features, coors, list(shape), 1)
    sparse = down(sub(tensor)).dense()
    sparse.square().sum().backward()

    twin = features.detach().clone().requires_grad_()
    _, z, y, x = coors.long().unbind(1)
    dense = torch.zeros(1, 3, *shape).index_put(
        (torch.tensor(0), torch.arange(3)[:, None], z, y, x), twin.T
    )
    mask = torch.zeros(1, 1, *shape)
    mask[0, 0, z, y, x] = 1
    weights = [
        m.weight.detach().permute(0, 4, 1, 2, 3).clone().requires_grad_() for m in (sub, down)
    ]
    hidden = F.conv3d(dense, weights[0], padding=1) * mask
    out = F.conv3d(hidden, weights[1], stride=2, padding=1)
    out.square().sum().backward()
    grads = [(m.weight.grad.permute(0, 4, 1, 2, 3), w.grad) for m, w in zip((sub, down), weights)]
    return (sparse, out), (features.grad, twin.grad), grads


def test_sparse_convolution_on_cpu_equals_dense_forward_and_backward():
    enable_spconv_on_cpu()
    outputs, inputs, weights = run(*voxels())
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*inputs)
    for ours, dense in weights:
        torch.testing.assert_close(ours, dense)


def test_enable_spconv_on_cpu_twice_changes_nothing_more():
    import spconv.pytorch.ops as spconv_ops

    assert enable_spconv_on_cpu()
    once = spconv_ops.get_current_stream
    assert enable_spconv_on_cpu()
    assert spconv_ops.get_current_stream is once


def test_sparse_convolution_on_several_threads_gives_the_same_every_time():
    enable_spconv_on_cpu()
    threads = torch.get_num_threads()
    generator = torch.Generator().manual_seed(3)
    cells = torch.randperm(20 * 40 * 40, generator=generator)[:5000]
    coors = torch.stack([0 * cells, cells // 1600, cells // 40 % 40, cells % 40], dim=1).int()
    features = torch.randn(5000, 16, generator=generator)
    conv = spconv.SubMConv3d(16, 16, 3, padding=1, bias=False)

    def gradients():
        leaf = features.clone().requires_grad_()
        conv.zero_grad()
        out = conv(spconv.SparseConvTensor(leaf, coors, [20, 40, 40], 1)).features
        out.square().sum().backward()
        return out.detach(), leaf.grad, conv.weight.grad.clone()

    try:
        torch.set_num_threads(1)
        expected = gradients()
        torch.set_num_threads(4)
        for _ in range(12):
            for ours, alone in zip(gradients(), expected):
                torch.testing.assert_close(ours, alone)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)

"""Scatter, focal losses and deformable attention against plain loops, gradients included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from compiled_cases import rand

from gemini_det3d.ops.mmcv_ext import _ext


def points_in_voxels(num: int, with_outside: bool = True):
    """Features with ties, coordinates of which some are negative."""
    features = (rand(1, num, 3, low=-1) * 8).round() / 8
    coors = (rand(2, num, 3) * 2.99).int()
    if with_outside and num > 7:
        coors[3, 1], coors[7] = -1, -1
    return features, coors


@pytest.mark.parametrize("reduce", ["max", "mean", "sum"])
@pytest.mark.parametrize("num", [0, 1, 211])
def test_points_scattered_to_voxels_are_those_of_the_loop(reduce, num):
    features, coors = points_in_voxels(num)
    values, voxels, of_point, count = _ext.dynamic_point_to_voxel_forward(features, coors, reduce)
    groups: dict = {}
    for n, cell in enumerate(map(tuple, coors.tolist())):
        if min(cell) >= 0:
            groups.setdefault(cell, []).append(n)
    assert [tuple(row) for row in voxels.tolist()] == sorted(groups)
    assert count.tolist() == [len(groups[cell]) for cell in sorted(groups)]
    for m, cell in enumerate(sorted(groups)):
        members = features[groups[cell]]
        pooled = members.amax(0) if reduce == "max" else getattr(members, reduce)(0)
        torch.testing.assert_close(values[m], pooled)
        assert of_point[groups[cell]].unique().tolist() == [m]
    assert (of_point == -1).sum() == (coors < 0).any(1).sum()
    assert (of_point.dtype, count.dtype, voxels.dtype) == (torch.int32,) * 3


@pytest.mark.parametrize("reduce", ["max", "mean", "sum"])
def test_gradients_of_scattered_points_are_those_of_the_loop(ops, reduce):
    features, coors = points_in_voxels(61)
    leaf = features.clone().requires_grad_()
    values, voxels = ops.dynamic_scatter(leaf, coors, reduce)
    grad = rand(3, *values.shape)
    values.backward(grad)
    expected = torch.zeros_like(features)
    for m, cell in enumerate(voxels.tolist()):
        members = [n for n in range(61) if coors[n].tolist() == cell]
        if reduce == "max":
            first = [members[int(np.argmax(features[members, c].numpy()))] for c in range(3)]
            expected[first, range(3)] = grad[m]
        else:
            expected[members] = grad[m] / (len(members) if reduce == "mean" else 1)
    torch.testing.assert_close(leaf.grad, expected)


def test_gradient_of_scattered_points_that_are_all_outside_is_zero(ops):
    leaf = torch.ones(3, 2, requires_grad=True)
    values, voxels = ops.dynamic_scatter(leaf, torch.full((3, 3), -1, dtype=torch.int32), "max")
    assert values.shape == (0, 2) and voxels.shape == (0, 3)
    values.sum().backward()
    assert leaf.grad.tolist() == [[0, 0]] * 3


def logits(requires_grad: bool = True):
    values = rand(11, 17, 5, low=-4, high=4).double()
    values[0, 0], values[1, 1] = 60.0, -60.0  # saturated
    return values.requires_grad_(requires_grad), (rand(12, 17) * 5.99).long()


@pytest.mark.parametrize("weighted", [False, True])
def test_sigmoid_focal_loss_is_its_formula_element_by_element(ops, weighted):
    values, labels = logits(False)
    weight = rand(13, 5).double() if weighted else None
    found = ops.sigmoid_focal_loss(values.float(), labels, 2.0, 0.25,
                                   weight.float() if weighted else None, "none")  # fmt: skip
    for n, c in np.ndindex(17, 5):
        p = 1 / (1 + np.exp(-float(values[n, c])))
        hit = int(labels[n]) == c
        expected = -(0.25 * (1 - p) ** 2 * np.log(p)) if hit else -0.75 * p**2 * _log(1 - p)
        if weighted and labels[n] < 5:
            expected *= float(weight[labels[n]])
        assert float(found[n, c]) == pytest.approx(expected, rel=2e-4, abs=1e-6)


def _log(p: float) -> float:
    return np.log(max(p, np.finfo(np.float32).tiny))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_sigmoid_focal_loss_has_the_gradient_of_its_value(ops, gamma):
    values, labels = logits()
    values = values[2:].detach().requires_grad_()  # the floor under the logarithm has none
    assert torch.autograd.gradcheck(
        lambda x: ops.sigmoid_focal_loss(x, labels[2:], gamma, 0.25, None, "sum"), values
    )


def test_softmax_focal_loss_is_its_formula_with_its_gradient(ops):
    values, labels = logits()
    labels, weight = labels.clamp(max=4), rand(14, 5).double()
    values = values[2:].detach().requires_grad_()
    found = ops.softmax_focal_loss(values, labels[2:], 2.0, 0.25, weight, "none")
    p = values.softmax(1).gather(1, labels[2:, None])[:, 0]
    torch.testing.assert_close(found, -0.25 * (1 - p) ** 2 * p.log() * weight[labels[2:]])
    assert torch.autograd.gradcheck(
        lambda x: ops.softmax_focal_loss(x, labels[2:], 2.0, 0.25, weight, "sum"), values
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
def test_focal_losses_of_half_precision_are_those_of_float32(name, dtype):
    """Of logits, and of probabilities: the softmax itself is mmcv's."""
    values = torch.tensor([[9.0, -18.0], [-9.0, 6.0], [0.5, -0.25], [12.0, -12.0]]).to(dtype)
    values = values if name == "sigmoid" else values.softmax(1)
    labels, found = torch.tensor([1, 0, 0, 1]), []
    for x in (values, values.float()):
        loss, grad, none = torch.zeros_like(x), torch.zeros_like(x), x.new_empty(0)
        loss = loss if name == "sigmoid" else loss[:, 0]
        scratch = () if name == "sigmoid" else (torch.zeros_like(loss),)
        getattr(_ext, f"{name}_focal_loss_forward")(x, labels, none, loss, 2.0, 0.25)
        getattr(_ext, f"{name}_focal_loss_backward")(x, labels, none, *scratch, grad, 2.0, 0.25)
        found.append((loss, grad))
    for half, full in zip(*found):
        torch.testing.assert_close(half, full.to(dtype), rtol=0, atol=0)


def test_sigmoid_focal_loss_of_no_rows_is_empty(ops):
    none = torch.zeros(0, 5, requires_grad=True)
    loss = ops.sigmoid_focal_loss(none, torch.zeros(0).long(), 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss == 0 and none.grad.shape == (0, 5)


def test_deformable_attention_is_the_weighted_sum_of_samples_with_gradients(ops):
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    shapes = torch.tensor([[3, 4], [2, 2]])
    starts = torch.tensor([0, 12])
    value = rand(21, 1, 16, 2, 3).double().requires_grad_()
    where = rand(22, 1, 5, 2, 2, 3, 2, low=0.05, high=0.95).double().requires_grad_()
    weights = rand(23, 1, 5, 2, 2, 3).double().requires_grad_()

    def attend(*tensors):
        v, w, a = tensors
        return MultiScaleDeformableAttnFunction.apply(v, shapes, starts, w, a, 64)

    out = attend(value, where, weights)
    expected = torch.zeros(5, 2, 3).double()
    places, shares = where.detach(), weights.detach()
    for q, head, level, point in np.ndindex(5, 2, 2, 3):
        height, width = shapes[level].tolist()
        x = float(places[0, q, head, level, point, 0]) * width - 0.5
        y = float(places[0, q, head, level, point, 1]) * height - 0.5
        for row, column in np.ndindex(height, width):
            share = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
            pixel = value[0, int(starts[level]) + row * width + column, head].detach()
            expected[q, head] += float(shares[0, q, head, level, point]) * share * pixel
    torch.testing.assert_close(out[0].detach(), expected.flatten(1))
    assert torch.autograd.gradcheck(attend, (value, where, weights))

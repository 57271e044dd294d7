"""RoIAlign where there is little to align: no region, regions without size."""

from __future__ import annotations

import pytest
import torch
from compiled_cases import rand

POINT = [0.0, 2, 2, 2, 2]
WHOLE = [0.0, 1, 1, 4, 4]


def pooled(ops, rois, mode, ratio=0, aligned=True):
    """Values and the gradient of the map, where each value counts by its place."""
    maps = rand(1, 1, 3, 6, 7, low=-1).requires_grad_()
    regions = torch.tensor(rois).view(-1, 5)
    values = ops.roi_align(maps, regions, (2, 2), 1.0, ratio, mode, aligned)
    (values * torch.arange(1.0, 1 + values.numel()).view(values.shape)).sum().backward()
    return values.detach(), maps.grad


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_no_regions_give_no_values_and_no_gradient(ops, form, mode, ratio, aligned):
    values, grad = pooled(ops, [], mode, ratio, aligned)
    assert values.shape == (0, 3, 2, 2) and not grad.any()


@pytest.mark.parametrize(("mode", "value"), [("max", -10000.0), ("avg", 0.0)])
def test_a_region_without_samples_has_the_value_of_compiled_mmcv_and_no_gradient(
    ops, form, mode, value
):
    values, grad = pooled(ops, [POINT], mode)
    assert (values == value).all() and not grad.any()


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_a_region_without_samples_leaves_the_others_as_they_are(ops, form, mode):
    (both, grad), (alone, grad_alone) = (pooled(ops, r, mode) for r in ([WHOLE, POINT], [WHOLE]))
    assert torch.equal(both[:1], alone) and torch.equal(grad, grad_alone) and grad.any()

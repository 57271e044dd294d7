"""What the simple rivals compute."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gemini_det3d.fusion import ConcatFusion, GeminiFusion, SumFusion


def test_sum_fusion_gives_the_sum_to_both_streams(make):
    first, second = make(3, 5), make(3, 5)
    assert_close(SumFusion(5)(first, second), (first + second, first + second))


def test_concat_fusion_maps_own_before_other(make):
    operator = ConcatFusion(2).double()
    with torch.no_grad():
        for layer, factor in ((operator.to_first, 1.0), (operator.to_second, 10.0)):
            layer.bias.zero_()
            layer.weight.copy_(factor * torch.tensor([[1.0, 0, 2, 0], [0, 1, 0, 2]]))
    first, second = make(3, 2), make(3, 2)
    wanted = (first + 2 * second, 10 * (second + 2 * first))
    assert_close(operator(first, second), wanted)


def test_concat_fusion_gives_every_parameter_a_gradient(make):
    operator = ConcatFusion(5).double()
    sum(fused.square().sum() for fused in operator(make(3, 5), make(3, 5))).backward()
    assert all(p.grad.count_nonzero() > 0 for p in operator.parameters())


@pytest.mark.parametrize("name", [GeminiFusion, SumFusion, ConcatFusion])
def test_operators_take_the_same_arguments_and_name_a_wrong_dim(name):
    assert name(dim=16, num_heads=4).dim == 16
    with pytest.raises(ValueError, match=f"{name.__name__}: dim must be .* got -1"):
        name(dim=-1)

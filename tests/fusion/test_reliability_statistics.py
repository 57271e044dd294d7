"""Running statistics of reliability: half precision, no finite values, repeated forwards."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.reliability import sample_means


def doubting(dim=8):
    """An operator that has learned to doubt."""
    torch.manual_seed(0)
    operator = GeminiFusion(dim, 2, reliability=True)
    with torch.no_grad():
        operator.reliability_weight.normal_(std=0.3)
        operator.reliability_worth.fill_(0.2)
    return operator.train()


@pytest.mark.parametrize("counts", [None, (60_000,)])
def test_means_of_half_precision_do_not_overflow(counts):
    stream = torch.full((60_000, 2) if counts else (1, 60_000, 2), 1.25).half()
    mean = sample_means(stream, None, counts)
    assert mean.dtype == torch.float32
    assert torch.equal(mean, torch.full_like(mean, 1.25))


def test_wide_maps_in_half_precision_train_and_predict():
    operator = doubting()
    maps = torch.rand(1, 180 * 180, 8) * 5
    operator(maps.half(), maps.half())
    assert operator.reliability_centre.isfinite().all()
    fused = operator.eval()(maps.half(), maps.half())
    assert all(part.isfinite().all() for part in fused)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30])
def test_a_forward_that_is_not_finite_leaves_the_statistics(value):
    operator, tokens = doubting(), torch.randn(2, 9, 8)
    operator(tokens, tokens + 1)
    before = operator.reliability_centre.clone(), operator.reliability_variance.clone()
    broken = tokens.clone()
    broken[0, 3, 2] = value
    operator(broken, broken)
    assert torch.equal(operator.reliability_centre, before[0])
    assert torch.equal(operator.reliability_variance, before[1])
    fresh = doubting()
    fresh(broken, broken)
    assert not fresh.reliability_seen.any() and (fresh.reliability_variance == 1).all()


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("order", [(0, 1), (1, 0), None])
def test_a_repeated_forward_has_the_statistics_of_the_first(use_reentrant, order):
    """A clean batch and a degraded copy before one backward, or two of them in any order."""
    operator = doubting()
    batches = [torch.randn(2, 9, 8).requires_grad_() * scale for scale in (1.0, 3.0)]

    def gradients(module, run):
        losses = [sum(part.square().sum() for part in run(module, x, x + 1)) for x in batches]
        for loss in [sum(losses)] if order is None else [losses[i] for i in order]:
            loss.backward(retain_graph=True)
        return [p.grad for p in module.parameters()]

    wanted = gradients(copy.deepcopy(operator), lambda module, *streams: module(*streams))
    found = gradients(operator, lambda module, *streams: checkpoint(
        module, *streams, use_reentrant=use_reentrant))  # fmt: skip
    for one, other in zip(found, wanted):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


def test_what_is_kept_for_repetitions_is_in_no_checkpoint():
    operator = doubting()
    assert "past_spreads" not in operator.state_dict()
    assert "past_spreads" not in dict(GeminiFusion(8, 2).named_buffers())


@pytest.mark.parametrize("kinds", [(torch.half, torch.half), (torch.half, torch.float32),
                                   (torch.float64, torch.float64)])  # fmt: skip
def test_gates_take_the_dtypes_that_a_forward_takes(kinds):
    operator = doubting().eval()
    first, second = torch.randn(5, 8), torch.randn(5, 8)
    wanted = operator.gates(first, second)
    found = operator.gates(first.to(kinds[0]), second.to(kinds[1]))
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one.float(), other, atol=2e-3, rtol=0)


def test_a_released_block_without_its_noise_is_one_line():
    state = GeminiFusion(8, 2).to_released()
    with pytest.raises(ValueError, match="GeminiFusion.from_released: .*key_noise"):
        GeminiFusion.from_released(state, 2, with_noise=False)

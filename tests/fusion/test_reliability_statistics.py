"""Running statistics of reliability: half precision, no finite values, repeated forwards."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.reliability import reliability_loss, sample_means, sample_of_tokens


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
    mean = sample_means(stream, None, counts, sample_of_tokens(counts, stream.device))
    assert mean.dtype == torch.float32
    assert torch.equal(mean, torch.full_like(mean, 1.25))


def test_wide_maps_in_half_precision_train_and_predict():
    operator = doubting()
    maps = torch.rand(1, 180 * 180, 8) * 5
    operator(maps.half(), maps.half())
    assert operator.reliability_centre.isfinite().all()
    fused = operator.eval()(maps.half(), maps.half())
    assert all(part.isfinite().all() for part in fused)


class Named(TorchDispatchMode):
    """Names of the operators that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.names.add(function._schema.name)
        return function(*arguments, **(options or {}))


def test_samples_of_tokens_are_told_apart_without_a_copy_from_the_host():
    operator, tokens = doubting(), torch.randn(9, 8)
    strengths = [torch.zeros(3), torch.ones(3)]
    with Named() as called:
        torch.tensor(1)
    assert "aten::lift_fresh" in called.names  # how such a copy is seen on a CPU
    with Named() as called:
        operator(tokens, tokens, None, (4, 0, 5))
        reliability_loss(operator.take_doubts(), strengths)
    assert not {"aten::lift_fresh", "aten::_to_copy"} & called.names
    wanted = sample_of_tokens((4, 0, 5), tokens.device)
    assert wanted.tolist() == [0] * 4 + [2] * 5


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


def repeat(num_forwards, is_repeated):
    """Gradients of so many forwards before one backward."""
    operator, losses = doubting(), []
    streams = [torch.randn(2, 2, 6, 8) * (i + 1) + i for i in range(num_forwards)]
    streams = [pair.requires_grad_() for pair in streams]
    for pair in streams:
        run = (
            (lambda *x: checkpoint(operator, *x, use_reentrant=False)) if is_repeated else operator
        )
        losses += [part.square().sum() for part in run(*pair)]
    sum(losses).backward()
    return [pair.grad for pair in streams] + [operator.reliability_worth.grad]


def test_sixteen_forwards_are_repeated_with_their_own_statistics():
    for one, other in zip(repeat(16, True), repeat(16, False)):
        torch.testing.assert_close(one, other)


def test_a_repeated_forward_whose_statistics_are_gone_is_refused():
    with pytest.raises(RuntimeError, match="GeminiFusion: a checkpoint repeats a forward that is"):
        repeat(17, True)


def spread_of(operator, stream, dtype):
    """What a first forward sets, and exactly: centre and variance of tokens and their means."""
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        operator(stream, stream)
    wide = stream.double()
    both = torch.cat([wide, sample_means(wide, None, None, None).expand_as(wide)], dim=-1).flatten(
        0, -2
    )
    found = operator.reliability_centre[0], operator.reliability_variance[0]
    return found, (both.mean(0), both.var(0, unbiased=False).clamp(min=1e-6))


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_the_first_forward_sets_exact_statistics_under_autocast_too(dtype):
    stream = 3 + 0.05 * torch.randn(2, 1, 8) + 0.7 * torch.randn(2, 30_000, 8)
    found, wanted = spread_of(doubting(), stream, dtype)
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one.double(), other, rtol=0.01, atol=1e-6)


def test_loud_tokens_are_followed_under_autocast_of_half_precision():
    stream = torch.randn(2, 500, 8)
    stream[0, 0, 1] = 300.0  # whose square is beyond half precision
    operator = doubting()
    found, wanted = spread_of(operator, stream, torch.float16)
    assert operator.reliability_seen.all()
    torch.testing.assert_close(found[1].double(), wanted[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_statistics_of_a_module_in_half_precision_count_all_tokens(dtype):
    stream = (torch.randn(2, 40_000, 8) + 0.5).to(dtype)
    found, wanted = spread_of(doubting().to(dtype), stream, None)
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one.double(), other, rtol=0.01, atol=1e-6)


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

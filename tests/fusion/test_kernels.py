"""The fast form against the plain one: values, gradients, memory, precision, locality."""

from __future__ import annotations

import copy

import pytest
import torch
from counting import count_multiply_adds, count_saved_bytes
from even_products import use_even_products
from reference import random_released, reference_fusion
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.functional import gemini_fusion
from gemini_det3d.fusion.kernels.blockwise import Setting, blockwise_backward, blockwise_forward
from gemini_det3d.fusion.kernels.library import fuse, fuse_backward

DIM, HEADS, TOKENS = 15, 5, 101
MASKS = {
    "all": None,
    "some": torch.arange(TOKENS) % 3 > 0,
    "block": torch.arange(TOKENS) > 40,  # blocks of 32 that are empty, mixed and full
}


@pytest.fixture
def operators():
    """The same parameters behind the plain and the fast form."""
    return tuple(
        GeminiFusion.from_released(random_released(DIM), HEADS, backend=backend, block_tokens=32)
        for backend in ("plain", "blockwise")
    )


def run(operator, streams, cotangents, valid=None):
    fused = operator(*streams, valid)
    tensors = [*streams, *operator.parameters()]
    return [*fused, *torch.autograd.grad(fused, tensors, cotangents)]


@pytest.mark.parametrize("with_recompute", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_fast_form_equals_the_plain_form(operators, make, mask, with_recompute):
    plain, fast = operators
    fast.with_recompute = with_recompute
    streams = [make(TOKENS, DIM, grad=True) for _ in range(2)]
    cotangents = [make(TOKENS, DIM) for _ in range(2)]
    wanted = run(plain, streams, cotangents, MASKS[mask])
    assert_close(run(fast, streams, cotangents, MASKS[mask]), wanted)


@pytest.mark.parametrize("backend", ["compact", "traced"])
@pytest.mark.parametrize("mask", MASKS)
def test_other_forms_equal_the_plain_form(operators, make, mask, backend):
    plain, other = operators
    other.backend = backend
    streams = [make(TOKENS, DIM, grad=True) for _ in range(2)]
    cotangents = [make(TOKENS, DIM) for _ in range(2)]
    wanted = run(plain, streams, cotangents, MASKS[mask])
    assert_close(run(other, streams, cotangents, MASKS[mask]), wanted)


def test_fast_form_equals_two_key_attention(operators, make):
    streams = make(2, 5, DIM), make(2, 5, DIM)
    wanted = reference_fusion(*streams, random_released(DIM), HEADS)
    assert_close(operators[1](*streams), wanted)


@pytest.mark.parametrize("is_paired", [False, True])
@pytest.mark.parametrize("with_tape", [False, True])
def test_both_discriminator_forms_are_exact(operators, make, is_paired, with_tape):
    streams = [make(TOKENS, DIM, grad=True) for _ in range(2)]
    cotangents = [make(TOKENS, DIM) for _ in range(2)]
    wanted = run(operators[0], streams, cotangents)
    parameters = operators[0].fusion_parameters()
    setting = Setting(HEADS, torch.float64, is_paired, 16)
    with torch.no_grad():
        *fused, tape = blockwise_forward(*streams, None, parameters, setting, with_tape)
        *towards, gradients = blockwise_backward(
            *streams, None, parameters, setting, tape, cotangents, with_parameters=True
        )
    assert_close([*fused, *towards, *gradients], wanted)


@pytest.mark.parametrize("backend", ["compact", "traced", "blockwise"])
@pytest.mark.parametrize("shape", [(0,), (1,), (0, 5), (3, 0), (2, 3, 5), ()])
def test_fast_forms_take_any_leading_shape(operators, make, shape, backend):
    operators[1].backend = backend
    streams = [make(*shape, DIM, grad=True) for _ in range(2)]
    cotangents = [make(*shape, DIM) for _ in range(2)]
    wanted = run(operators[0], streams, cotangents)
    found = run(operators[1], streams, cotangents)
    assert [t.shape for t in found] == [t.shape for t in wanted]
    assert_close(found, wanted)


def test_fast_form_takes_any_layout(operators, make):
    maps = [make(2, DIM, 3, 5).permute(0, 2, 3, 1).requires_grad_() for _ in range(2)]
    cotangents = [make(1, 1, 1, DIM).expand(2, 3, 5, DIM), make(2, 3, 5, 2 * DIM)[..., ::2]]
    wanted = run(operators[0], maps, cotangents)
    assert_close(run(operators[1], maps, cotangents), wanted)


@pytest.mark.parametrize("block_tokens", [1, 5, 32, 64, 101, 1000])
def test_size_of_blocks_does_not_matter(operators, make, block_tokens):
    streams = make(TOKENS, DIM), make(TOKENS, DIM)
    wanted = operators[0](*streams)
    operators[1].block_tokens = block_tokens
    assert_close(operators[1](*streams), wanted)


def test_gradcheck_and_gradgradcheck_hold_at_default_tolerances(make):
    operator = GeminiFusion.from_released(
        random_released(4), 2, backend="blockwise", block_tokens=1
    )
    names = [name for name, _ in operator.named_parameters()]

    def call(first, second, *tensors):
        named = dict(zip(names, tensors))
        valid = torch.tensor([True, False])
        return torch.func.functional_call(operator, named, (first, second, valid))

    inputs = [make(2, 4, grad=True), make(2, 4, grad=True), *operator.parameters()]
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


@pytest.mark.parametrize(
    ("mask", "flag"), [(None, True), (torch.tensor([True, False, True, True, False]), False)]
)
def test_custom_operators_pass_opcheck(make, mask, flag):
    operator = GeminiFusion.from_released(random_released(6), 3)
    streams = [make(5, 6, grad=True) for _ in range(2)]
    rest = (*operator.parameters(), 3, torch.float64, False, 2, flag)
    assert set(torch.library.opcheck(fuse, (*streams, mask, *rest)).values()) == {"SUCCESS"}
    tape = fuse(*streams, mask, *rest)[2].detach()
    upstream = [make(5, 6, grad=True) for _ in range(2)]
    checked = torch.library.opcheck(fuse_backward, (*streams, mask, tape, *upstream, *rest))
    assert set(checked.values()) == {"SUCCESS"}


def test_frozen_parameters_get_no_gradient_and_streams_still_do(operators, make):
    plain, fast = operators
    streams = [make(TOKENS, DIM, grad=True) for _ in range(2)]
    wanted = torch.autograd.grad(sum(f.square().sum() for f in plain(*streams)), streams)
    fast.requires_grad_(False)
    sum(f.square().sum() for f in fast(*streams)).backward()
    assert_close(tuple(s.grad for s in streams), wanted)
    assert all(p.grad is None for p in fast.parameters())


def test_backward_can_run_twice_over_one_tape(operators, make):
    streams = [make(TOKENS, DIM, grad=True) for _ in range(2)]
    loss = sum(f.square().sum() for f in operators[1](*streams))
    once = torch.autograd.grad(loss, streams, retain_graph=True)
    assert_close(torch.autograd.grad(loss, streams), once, rtol=0, atol=0)


def test_one_stream_without_gradient_is_enough(operators, make):
    streams = [make(TOKENS, DIM, grad=True) for _ in range(2)]
    wanted = torch.autograd.grad(operators[0](*streams)[1].square().sum(), streams)
    assert_close(torch.autograd.grad(operators[1](*streams)[1].square().sum(), streams), wanted)


def test_backward_allocates_no_gradient_of_the_tape(make):
    operator = GeminiFusion(16, backend="blockwise")
    streams = [make(TOKENS, 16, dtype=torch.float32, grad=True) for _ in range(2)]
    loss = sum(f.sum() for f in operator(*streams))
    with torch.profiler.profile(record_shapes=True) as profile:
        loss.backward()
    shapes = [e.input_shapes[0] for e in profile.events() if e.name == "aten::fill_"]
    assert not any(shape and shape[0] >= TOKENS for shape in shapes)


@pytest.mark.parametrize("is_paired", [False, True])
def test_multiply_adds_are_14_c_squared_per_pair(make, is_paired):
    dim, tokens = 24, 101
    parameters = GeminiFusion.from_released(random_released(dim), 3).fusion_parameters()
    streams = make(tokens, dim), make(tokens, dim)
    setting = Setting(3, torch.float64, is_paired, 32)
    counted = count_multiply_adds(
        lambda: blockwise_forward(*streams, None, parameters, setting, False)
    )
    assert counted == (16 if is_paired else 14) * dim**2 * tokens


@pytest.mark.parametrize("num_tokens", [1, 2, 7, 17, 101, 997, 2003])
def test_default_form_needs_no_more_multiply_adds(make, num_tokens):
    operator = GeminiFusion(64)
    streams = [make(num_tokens, 64, dtype=torch.float32) for _ in range(2)]
    with torch.no_grad():
        assert count_multiply_adds(lambda: operator(*streams)) <= 14 * 64**2 * num_tokens


@pytest.mark.parametrize(("num_tokens", "per_pair"), [(1, 16), (7, 16), (8, 14), (300, 14)])
def test_a_handful_of_wide_tokens_is_read_in_pairs_and_differs_by_rounding_only(
    make, num_tokens, per_pair
):
    operator = GeminiFusion(512)
    streams = [make(num_tokens, 512, dtype=torch.float32) for _ in range(2)]
    fused = []
    with torch.no_grad():
        counted = count_multiply_adds(lambda: fused.extend(operator(*streams)))
    assert counted == per_pair * 512**2 * num_tokens
    exact = copy.deepcopy(operator).double()
    wanted = gemini_fusion(
        *(stream.double() for stream in streams), exact.fusion_parameters(), exact.num_heads
    )
    for found, want in zip(fused, wanted):
        assert_close(found.double(), want, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("num_tokens", [2, 7, 8])
def test_a_handful_of_wide_tokens_is_rounded_alike_wherever_it_stands(
    monkeypatch, make, num_tokens
):
    operator = GeminiFusion(512)
    use_even_products(monkeypatch)
    assert_permutes(operator, make, num_tokens, torch.equal)


@pytest.mark.parametrize("with_parameters", [True, False])
@pytest.mark.parametrize("with_tape", [True, False])
@pytest.mark.parametrize("is_paired", [True, False])
def test_registered_flop_formulas_are_what_runs(make, is_paired, with_tape, with_parameters):
    dim, tokens = 24, 101
    parameters = GeminiFusion.from_released(random_released(dim), 3).fusion_parameters()
    streams = make(tokens, dim), make(tokens, dim)
    setting = Setting(3, torch.float64, is_paired, 32)
    rest = (*parameters, *setting)
    *_, tape = fuse(*streams, None, *rest, with_tape)
    told = count_multiply_adds(lambda: fuse(*streams, None, *rest, with_tape))
    ran = count_multiply_adds(
        lambda: blockwise_forward(*streams, None, parameters, setting, with_tape)
    )
    assert told == ran
    told = count_multiply_adds(
        lambda: fuse_backward(*streams, None, tape, *streams, *rest, with_parameters)
    )
    arguments = (*streams, None, parameters, setting, tape, streams, with_parameters)
    assert told == count_multiply_adds(lambda: blockwise_backward(*arguments))


@pytest.mark.parametrize(("with_recompute", "share"), [(False, 0.45), (True, 0.15)])
def test_backward_keeps_a_fraction_of_what_the_plain_form_keeps(make, with_recompute, share):
    streams = [make(3000, 64, dtype=torch.float32, grad=True) for _ in range(2)]
    plain = GeminiFusion(64, backend="plain")
    fast = GeminiFusion(64, backend="blockwise", with_recompute=with_recompute)
    assert count_saved_bytes(fast, streams) <= share * count_saved_bytes(plain, streams)


@pytest.mark.parametrize("backend", ["auto", "compact", "blockwise"])
@pytest.mark.parametrize("num_tokens", [2, 7, 13, 33, 257, 700])
def test_permuting_tokens_permutes_outputs_bitwise_if_products_do(
    monkeypatch, make, num_tokens, backend
):
    called = use_even_products(monkeypatch)
    assert_permutes(GeminiFusion(64, backend=backend), make, num_tokens, torch.equal)
    assert called


@pytest.mark.parametrize("backend", ["auto", "compact", "blockwise"])
@pytest.mark.parametrize("num_tokens", [2, 7, 13, 33, 257, 700, 4999])
def test_permuting_tokens_permutes_outputs_to_rounding(make, num_tokens, backend):
    operator = GeminiFusion(64, backend=backend)
    assert_permutes(operator, make, num_tokens, is_within_rounding)


def assert_permutes(operator, make, num_tokens, are_equal):
    first, second = (make(num_tokens, operator.dim, dtype=torch.float32) for _ in range(2))
    order = torch.randperm(num_tokens, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before, after = operator(first, second), operator(first[order], second[order])
    for old, new in zip(before, after):
        assert are_equal(old[order], new)


def is_within_rounding(old, new):
    """Eight units in the last place of the largest output: a product may add in another order."""
    return (old - new).abs().max() <= 8 * torch.finfo(old.dtype).eps * old.abs().max()


@pytest.mark.parametrize("backend", ["plain", "compact", "traced", "blockwise"])
def test_nan_in_k_tokens_changes_exactly_these_outputs(make, backend):
    operator = GeminiFusion(16, backend=backend, block_tokens=32)
    first, second = make(TOKENS, 16, dtype=torch.float32), make(TOKENS, 16, dtype=torch.float32)
    before = operator(first, second)
    is_hit = torch.zeros(TOKENS, dtype=torch.bool)
    is_hit[[3, 16, 100]] = True
    second[is_hit, 5] = float("nan")
    for old, new in zip(before, operator(first, second)):
        assert torch.equal(new.isnan().any(-1), is_hit)
        assert torch.equal(new[~is_hit], old[~is_hit])
    kept_first, kept_second = operator(first, second, ~is_hit)
    assert torch.equal(kept_first[is_hit], first[is_hit]) and kept_first.isfinite().all()
    assert torch.equal(kept_second.isnan(), second.isnan())


@pytest.mark.parametrize("backend", ["plain", "compact", "traced", "blockwise"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_up_to_ten_thousand(make, backend, dtype):
    operator = GeminiFusion(64, backend=backend, linear_init="xavier_uniform").to(dtype)
    unit = [make(201, 64).clamp(-1, 1) for _ in range(2)]
    fused = operator(*((1e4 * stream).to(dtype) for stream in unit))
    assert all(f.dtype == dtype and f.isfinite().all() for f in fused)
    streams = [(10 * stream).to(dtype).requires_grad_() for stream in unit]
    sum(f.float().mean() for f in operator(*streams)).backward()
    assert all(t.grad.isfinite().all() for t in (*streams, *operator.parameters()))


@pytest.mark.parametrize("with_recompute", [False, True])
def test_autocast_keeps_the_streams_dtype_and_gives_gradients_in_it(make, with_recompute):
    operator = GeminiFusion(16, backend="blockwise", with_recompute=with_recompute)
    streams = [make(TOKENS, 16, dtype=torch.float32, grad=True) for _ in range(2)]
    wanted = operator(*streams)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused = operator(*streams)
    sum(f.sum() for f in fused).backward()
    assert all(f.dtype == torch.float32 for f in fused)
    assert all(p.grad.dtype == torch.float32 for p in operator.parameters())
    assert_close(fused, wanted, rtol=0.05, atol=0.05)


def test_lower_products_are_really_used_when_asked_for(make):
    parameters = GeminiFusion.from_released(random_released(16)).fusion_parameters()
    parameters = type(parameters)(*(p.detach().float() for p in parameters))
    streams = make(TOKENS, 16, dtype=torch.float32), make(TOKENS, 16, dtype=torch.float32)
    results = [
        blockwise_forward(*streams, None, parameters, Setting(8, dtype, True), False)[0]
        for dtype in (torch.float32, torch.bfloat16)
    ]
    error = (results[0] - results[1]).abs().max()
    assert 1e-4 < error < 0.1

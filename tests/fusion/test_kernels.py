"""The fast forms against the plain one: values, gradients, precision."""

from __future__ import annotations

import pytest
import torch
from older_torch import skip_module_without_custom_operators
from reference import random_released, reference_fusion
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.kernels.blockwise import Setting, blockwise_backward, blockwise_forward

skip_module_without_custom_operators()

from gemini_det3d.fusion.kernels.library import fuse, fuse_backward  # noqa: E402

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


@pytest.mark.parametrize(
    ("backend", "with_recompute"),
    [("blockwise", False), ("blockwise", True), ("compact", False), ("traced", False)],
)
@pytest.mark.parametrize("mask", MASKS)
def test_fast_forms_equal_the_plain_form(operators, make, mask, backend, with_recompute):
    plain, fast = operators
    fast.backend, fast.with_recompute = backend, with_recompute
    streams = [make(TOKENS, DIM, grad=True) for _ in range(2)]
    cotangents = [make(TOKENS, DIM) for _ in range(2)]
    wanted = run(plain, streams, cotangents, MASKS[mask])
    assert_close(run(fast, streams, cotangents, MASKS[mask]), wanted)


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


@pytest.mark.parametrize("mask", ["all", "some"])
def test_third_and_fourth_derivatives_are_those_of_the_definition(operators, make, mask):
    first, shift = make(TOKENS, DIM, grad=True), make(TOKENS, DIM)
    results = []
    for operator in operators:
        leaves = [first, operator.query_weight, operator.value_noise]
        second = first * first + shift  # whose derivatives must not count among the first's
        fused = operator(first, second, MASKS[mask])
        value, found = sum(stream.tanh().sum() for stream in fused), []
        for _ in range(4):
            gradients = torch.autograd.grad(value, leaves, create_graph=True)
            value = sum(gradient.tanh().square().sum() for gradient in gradients)
            found += gradients
        results.append(found)
    assert_close(results[1], results[0])


@pytest.mark.parametrize("with_autocast", [False, True])
def test_second_derivatives_hold_where_streams_are_narrower_than_weights(
    operators, make, with_autocast
):
    streams = [make(TOKENS, DIM, dtype=torch.bfloat16, grad=True) for _ in range(2)]
    results = []
    for operator in operators:
        tensors = [*streams, *operator.float().parameters()]
        is_lowered = with_autocast and operator is operators[1]
        with torch.autocast("cpu", torch.bfloat16, enabled=is_lowered):
            fused = operator(*streams)
        loss = sum(stream.float().square().sum() for stream in fused)
        first = torch.autograd.grad(loss, streams, create_graph=True)
        penalty = sum(gradient.float().square().sum() for gradient in first)
        results.append(torch.autograd.grad(penalty, tensors))
    for found, wanted in zip(*results):
        assert found.dtype == wanted.dtype
        assert (found - wanted).float().norm() <= 0.06 * wanted.float().norm()


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

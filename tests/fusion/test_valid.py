"""The rule of `valid`, the same for every operator: an absent twin is not read at all."""

from __future__ import annotations

import pytest
import torch
from every_operator import OPERATORS
from torch.testing import assert_close

from gemini_det3d.fusion import (
    ChannelExchangeFusion,
    GeminiFusion,
    TokenExchangeFusion,
)

DIM, TOKENS = 16, 11


@pytest.fixture(params=OPERATORS, ids=lambda operator: operator.__name__)
def operator(request):
    torch.manual_seed(3)
    operator = request.param(DIM).double()
    with torch.no_grad():  # some channels and tokens are exchanged
        if isinstance(operator, ChannelExchangeFusion):
            operator.norm[0].weight[:3] = operator.norm[1].weight[5:8] = 0.01
        if isinstance(operator, TokenExchangeFusion):
            operator.threshold = 0.5
    return operator


@pytest.fixture
def valid() -> torch.Tensor:
    return torch.tensor([1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0], dtype=torch.bool)


def test_tokens_without_a_twin_keep_their_value_exactly(operator, make, valid):
    first, second = make(TOKENS, DIM), make(TOKENS, DIM)
    fused = operator(first, second, valid)
    for new, old in zip(fused, (first, second)):
        assert torch.equal(new[~valid], old[~valid])
        assert (new[valid] != old[valid]).any(-1).all()


def test_valid_tokens_are_fused_as_if_the_others_were_not_there(operator, make, valid):
    first, second = make(TOKENS, DIM), make(TOKENS, DIM)
    fused = operator(first, second, valid)
    assert_close(tuple(f[valid] for f in fused), operator(first[valid], second[valid]))


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("stream", [0, 1])
def test_poison_without_a_twin_does_not_leak(operator, make, valid, poison, stream):
    streams = [make(TOKENS, DIM), make(TOKENS, DIM)]
    clean = operator(*streams, valid)
    streams[stream][~valid] = poison
    fused = operator(*streams, valid)
    assert torch.equal(fused[1 - stream], clean[1 - stream])
    assert torch.equal(fused[stream][valid], clean[stream][valid])


@pytest.mark.parametrize("stream", [0, 1])
def test_poison_without_a_twin_leaves_all_gradients_finite(operator, make, valid, stream):
    streams = [make(TOKENS, DIM), make(TOKENS, DIM)]
    streams[stream][~valid] = float("nan")
    streams = [s.requires_grad_() for s in streams]
    fused = operator(*streams, valid)
    # the poisoned values themselves stay in the output: only what is finite is summed
    sum(f.nan_to_num().square().sum() for f in fused).backward()
    for tensor in [*streams, *operator.parameters()]:
        assert tensor.grad.isfinite().all()


def test_gradient_of_tokens_without_a_twin_is_the_identity(operator, make, valid):
    streams = [make(TOKENS, DIM, grad=True) for _ in range(2)]
    cotangents = [make(TOKENS, DIM) for _ in range(2)]
    gradients = torch.autograd.grad(operator(*streams, valid), streams, cotangents)
    for gradient, cotangent in zip(gradients, cotangents):
        assert torch.equal(gradient[~valid], cotangent[~valid])


def test_no_valid_token_means_no_change_and_zero_parameter_gradients(operator, make):
    streams = [make(TOKENS, DIM), make(TOKENS, DIM)]
    fused = operator(*streams, torch.zeros(TOKENS, dtype=torch.bool))
    assert torch.equal(fused[0], streams[0]) and torch.equal(fused[1], streams[1])
    if list(operator.parameters()):
        sum(f.sum() for f in fused).backward()
        assert all(p.grad.count_nonzero() == 0 for p in operator.parameters())


def test_mask_is_broadcast_over_leading_axes(operator, make):
    first, second = make(3, 5, DIM), make(3, 5, DIM)
    sensor_works = torch.tensor([[True], [False], [True]])
    wanted = operator(first, second, sensor_works.expand(3, 5))
    assert_close(operator(first, second, sensor_works), wanted)


@pytest.mark.parametrize(
    ("mask", "fault"),
    [(torch.ones(TOKENS), "bool"), (torch.ones(TOKENS - 1, dtype=torch.bool), r"\(10,\)")],
)
def test_wrong_mask_is_refused(operator, make, mask, fault):
    with pytest.raises(ValueError, match=f"valid: .*{fault}"):
        operator(make(TOKENS, DIM), make(TOKENS, DIM), mask)


def test_gates_of_tokens_without_a_twin_are_zero(make, valid):
    operator = GeminiFusion(DIM).double()
    first = make(TOKENS, DIM)
    first[~valid] = float("nan")
    for gate in operator.gates(first, make(TOKENS, DIM), valid):
        assert (gate[~valid] == 0).all() and (gate[valid] > 0).all()

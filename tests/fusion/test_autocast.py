"""Autocast over every operator: any dtypes of streams and parameters that it lets together."""

from __future__ import annotations

import itertools

import pytest
import torch
from every_operator import OPERATORS
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion, GeminiWaysFusion, blend_many

HALVES = (torch.float16, torch.bfloat16)
KINDS = [
    (of_streams, of_parameters, lowered)
    for of_streams, of_parameters, lowered in itertools.product(
        (*HALVES, torch.float32), (*HALVES, torch.float32), HALVES
    )
]
VALID = torch.tensor([[True, False, True, True, False], [True] * 5])


@pytest.mark.parametrize("valid", [None, VALID], ids=["all", "masked"])
@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: " ".join(str(k)[6:] for k in kinds))
@pytest.mark.parametrize("name", [*OPERATORS, GeminiWaysFusion])
def test_operators_train_in_any_half_under_autocast_of_either(name, kinds, valid, make):
    of_streams, of_parameters, lowered = kinds
    operator = name(8)
    exact = name(8)
    exact.load_state_dict(operator.to(of_parameters).state_dict())
    tokens = [make(2, 5, 8, dtype=torch.float32).to(of_streams) for _ in range(2)]

    def call(module, streams):
        return (
            module(streams, [valid, None]) if name is GeminiWaysFusion else module(*streams, valid)
        )

    streams = [stream.clone().requires_grad_() for stream in tokens]
    with torch.autocast("cpu", dtype=lowered):
        fused = call(operator, streams)
    sum(stream.float().square().sum() for stream in fused).backward()
    assert all(stream.grad.isfinite().all() for stream in streams)
    for found, wanted in zip(fused, call(exact, [stream.float() for stream in tokens])):
        assert found.dtype == of_streams
        assert_close(found.float(), wanted, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: " ".join(str(k)[6:] for k in kinds))
def test_doubts_and_blends_take_any_half_under_autocast_of_either(kinds, make):
    of_streams, of_parameters, lowered = kinds
    streams = [make(2, 5, 8).to(of_streams) for _ in range(2)]
    operator = GeminiFusion(8, 2, reliability=True).to(of_parameters)
    exact = (streams[0].float() + streams[1].float()) / 2
    with torch.autocast("cpu", dtype=lowered):
        fused, doubts = operator(*streams), operator.doubts(*streams)
        blend = blend_many(streams, torch.ones(2, dtype=of_parameters))
    assert all(stream.dtype == of_streams for stream in fused)
    assert all(each.dtype == torch.float32 and each.isfinite().all() for each in doubts)
    assert_close(blend.float(), exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kinds", [(torch.float32, torch.float64), (torch.float64, torch.float32),
                                   (torch.float16, torch.float32)])  # fmt: skip
def test_gates_take_what_the_forward_takes(kinds, make):
    operator = GeminiFusion(8, 2).to(kinds[1]).eval()
    streams = [make(5, 8).to(kinds[0]) for _ in range(2)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gates, fused = operator.gates(*streams), operator(*streams)
    wanted = operator.double().gates(*(stream.double() for stream in streams))
    assert_close([gate.double() for gate in gates], list(wanted), rtol=0.02, atol=0.02)
    assert fused[0].dtype == kinds[0]

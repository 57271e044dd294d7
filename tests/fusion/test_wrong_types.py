"""What is no tensor is named in one line, whichever function of the operator it is given to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from every_operator import OPERATORS

from gemini_det3d.fusion import (
    GeminiFusion,
    GeminiWaysFusion,
    StreamBlend,
    blend_many,
    find_released_blocks,
    from_released,
    gate_bias,
    gemini_fusion,
    gemini_gates,
    ways_fusion,
)

DIM, HEADS = 16, 4
TOKENS = torch.zeros(7, DIM)
NO_TENSORS = {"list": [[0.0] * DIM] * 7, "ndarray": TOKENS.numpy(), "NoneType": None}

every_kind = pytest.mark.parametrize("kind", NO_TENSORS)


def named(name: str, kind: str) -> str:
    return rf"{name} must be a torch\.Tensor, got {'None' if kind == 'NoneType' else kind}"


@every_kind
@pytest.mark.parametrize("kind_of_operator", OPERATORS)
def test_every_operator_names_the_stream(kind_of_operator, kind: str) -> None:
    operator = kind_of_operator(DIM, HEADS)
    with pytest.raises(TypeError, match=f"{kind_of_operator.__name__}: {named('first', kind)}"):
        operator(NO_TENSORS[kind], TOKENS)
    with pytest.raises(TypeError, match=named("second", kind)):
        operator(TOKENS, NO_TENSORS[kind])


@pytest.mark.parametrize("valid", [[True] * 7, np.ones(7, bool), True])
@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_names_a_mask(operator, valid) -> None:
    kind = type(valid).__name__
    with pytest.raises(TypeError, match=f"valid: must be a bool mask, a torch.Tensor, got {kind}"):
        operator(DIM, HEADS)(TOKENS, TOKENS, valid)


@every_kind
@pytest.mark.parametrize("method", ["gates", "explain", "doubts", "doubt_bias"])
def test_methods_name_the_stream(method: str, kind: str) -> None:
    call = getattr(GeminiFusion(DIM, HEADS, reliability=True), method)
    with pytest.raises(TypeError, match=f"GeminiFusion: {named('second', kind)}"):
        call(TOKENS, NO_TENSORS[kind])


@every_kind
@pytest.mark.parametrize("function", [gemini_fusion, gemini_gates])
def test_functions_name_the_stream(function, kind: str) -> None:
    parameters = GeminiFusion(DIM, HEADS).fusion_parameters()
    with pytest.raises(TypeError, match=named("first", kind)):
        function(NO_TENSORS[kind], TOKENS, parameters, HEADS)


def test_functions_name_parameters_of_another_type() -> None:
    state = GeminiFusion(DIM, HEADS).state_dict()
    with pytest.raises(TypeError, match="parameters must be FusionParameters, got OrderedDict"):
        gemini_fusion(TOKENS, TOKENS, state, HEADS)
    with pytest.raises(TypeError, match=r"bias must be a torch\.Tensor, got list"):
        parameters = GeminiFusion(DIM, HEADS).fusion_parameters()
        gemini_fusion(TOKENS, TOKENS, parameters, HEADS, bias=[0.0] * 7)


@every_kind
def test_operator_among_many_names_the_stream_by_its_number(kind: str) -> None:
    operator = GeminiWaysFusion(DIM, 3, HEADS)
    streams = [TOKENS, TOKENS, NO_TENSORS[kind]]
    for call in (operator, lambda s: ways_fusion(s, operator.fusion_parameters(), HEADS)):
        with pytest.raises(TypeError, match=named(r"streams\[2\]", kind)):
            call(streams)
        with pytest.raises(TypeError, match="streams must be a sequence of torch.Tensor, got int"):
            call(3)
    with pytest.raises(TypeError, match="exists must be a sequence of torch.Tensor, got bool"):
        operator([TOKENS] * 3, True)
    with pytest.raises(TypeError, match=r"exists\[1\] must be a torch\.Tensor, got list"):
        operator([TOKENS] * 3, [None, [True] * 7, None])


@every_kind
def test_blends_name_the_stream(kind: str) -> None:
    with pytest.raises(TypeError, match=f"blend_streams: {named('first', kind)}"):
        StreamBlend()(NO_TENSORS[kind], TOKENS)
    with pytest.raises(TypeError, match=f"blend_many: {named(r'streams.1.', kind)}"):
        blend_many([TOKENS, NO_TENSORS[kind]], torch.ones(2))
    with pytest.raises(TypeError, match=f"gate_bias: {named('worth', kind)}"):
        gate_bias(TOKENS[:, 0], TOKENS[:, 0], NO_TENSORS[kind])


@pytest.mark.parametrize("state", ["released.pth", None, [1]])
def test_what_is_no_state_dict_is_told_so(state) -> None:
    for function in (from_released, find_released_blocks, GeminiFusion.from_released):
        with pytest.raises(TypeError, match="a state dict must map names to tensors, got"):
            function(state)

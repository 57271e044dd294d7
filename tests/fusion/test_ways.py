"""The operator among M streams: the released one for two, and what is not there is not read."""

from __future__ import annotations

import pytest
import torch
from counting import count_multiply_adds
from older_torch import needs_named_sizes
from reference import random_released
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion, GeminiWaysFusion, to_released
from gemini_det3d.fusion.ways import ways_fusion

DIM, HEADS, TOKENS = 15, 5, 7


def build(num_streams: int, **options) -> GeminiWaysFusion:
    torch.manual_seed(0)
    operator = GeminiWaysFusion(
        DIM, num_streams, HEADS, linear_init="xavier_uniform", **options
    ).double()
    with torch.no_grad():
        for name, parameter in operator.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return operator


@pytest.fixture
def pair() -> tuple[GeminiFusion, GeminiWaysFusion]:
    released = GeminiFusion.from_released(random_released(DIM), HEADS, backend="plain")
    ways = GeminiWaysFusion(DIM, 2, HEADS).double()
    ways.load_state_dict(released.state_dict())
    return released, ways


@pytest.mark.parametrize("mask", [None, [True, False, True, True, False, True, True]])
def test_two_streams_give_the_released_operator_and_its_gradients(pair, make, mask):
    valid = None if mask is None else torch.tensor(mask)
    exists = None if valid is None else [valid, None]
    streams = [make(TOKENS, DIM, grad=True) for _ in range(2)]
    towards = [make(TOKENS, DIM) for _ in range(2)]
    found, wanted = pair[1](streams, exists), pair[0](*streams, valid)
    assert_close(found, list(wanted), rtol=0, atol=1e-12)
    gradients = [
        torch.autograd.grad(fused, [*streams, *operator.parameters()], towards)
        for fused, operator in ((found, pair[1]), (wanted, pair[0]))
    ]
    assert_close(*gradients)


def test_four_streams_equal_attention_over_own_key_and_three_partners(make):
    """`nn.MultiheadAttention` with four keys, pair by pair from the equations."""
    operator, streams = build(4), [make(DIM) for _ in range(4)]
    fused = operator(streams)
    for i, own in enumerate(streams):
        # the released names of a pair of streams (i, j) hold direction i as their first
        keys, values = [own + operator.key_noise[i]], [own + operator.value_noise[i]]
        for other in (streams[j] for j in range(4) if j != i):
            hidden = operator.relation_in_weight @ torch.cat((own, other))
            hidden = torch.nn.functional.gelu(hidden + operator.relation_in_bias)
            phi = (operator.relation_out_weight @ hidden + operator.relation_out_bias).softmax(0)
            keys.append(own * phi)
            values.append(other)
        block = {
            name: torch.stack([parameter[i], parameter[i]]) if parameter.dim() > 1
            and len(parameter) == 4 else parameter
            for name, parameter in operator.state_dict().items()
        }  # fmt: skip
        prefix, attention = "cross_attn_0_to_1.", torch.nn.MultiheadAttention(DIM, HEADS).double()
        released = to_released(block)
        weights = {n.removeprefix(prefix): released[n] for n in released if n.startswith(prefix)}
        attention.load_state_dict(weights)
        read, _ = attention(own[None], torch.stack(keys), torch.stack(values))
        assert_close(fused[i], own + read[0])


def test_absent_stream_is_read_by_none_and_the_rest_is_that_of_fewer_streams(make):
    operator, streams = build(3), [make(TOKENS, DIM) for _ in range(3)]
    gone = torch.full((TOKENS, DIM), float("nan"), dtype=torch.float64)
    exists = [None, torch.zeros(TOKENS, dtype=torch.bool), None]
    fused = operator([streams[0], gone, streams[2]], exists)
    fewer = GeminiWaysFusion(DIM, 2, HEADS).double()
    fewer.load_state_dict(
        {
            name: parameter[[0, 2]] if len(parameter) == 3 else parameter
            for name, parameter in operator.state_dict().items()
        }
    )
    assert_close([fused[0], fused[2]], fewer([streams[0], streams[2]]))
    assert fused[1].isnan().all()


def test_last_stream_that_is_there_keeps_its_own_value_and_gradient_bit_by_bit(make):
    operator = build(3)
    streams = [make(TOKENS, DIM, grad=True) for _ in range(3)]
    gone = torch.zeros(TOKENS, dtype=torch.bool)
    fused = operator(streams, [None, gone, gone])
    assert all(torch.equal(new, own) for new, own in zip(fused, streams))
    sum(new.sum() for new in fused).backward()
    assert all(torch.equal(stream.grad, torch.ones_like(stream)) for stream in streams)


def test_order_of_partners_does_not_matter(make):
    operator, streams = build(3), [make(TOKENS, DIM) for _ in range(3)]
    order = [2, 0, 1]
    swapped = build(3)
    swapped.load_state_dict(
        {
            name: parameter[order] if len(parameter) == 3 else parameter
            for name, parameter in operator.state_dict().items()
        }
    )
    found = swapped([streams[i] for i in order])
    assert_close(found, [operator(streams)[i] for i in order])


@pytest.mark.parametrize(("num_streams", "products"), [(2, 16), (3, 33), (4, 56)])
def test_products_grow_as_documented(make, num_streams, products):
    operator, streams = build(num_streams), [make(101, DIM) for _ in range(num_streams)]
    counted = count_multiply_adds(lambda: operator(streams))
    assert counted == products * 101 * DIM**2


def test_balanced_start_passes_all_streams_on_as_they_are(make):
    operator = GeminiWaysFusion(16, 3, 4, init="balanced").double()
    streams = [make(TOKENS, 16) for _ in range(3)]
    assert all(torch.equal(new, own) for new, own in zip(operator(streams), streams))


def test_every_parameter_gets_a_gradient(make):
    operator = build(3)
    sum(new.square().sum() for new in operator([make(TOKENS, DIM) for _ in range(3)])).backward()
    for name, parameter in operator.named_parameters():
        assert parameter.grad.count_nonzero() > 0, name


@pytest.mark.parametrize(
    ("arguments", "key"),
    [({"num_streams": 1}, "num_streams"), ({"num_heads": 7}, "num_heads"), ({"init": "x"}, "init")],
)
def test_wrong_argument_is_named_when_built(arguments, key):
    with pytest.raises(ValueError, match=f"GeminiWaysFusion: {key}"):
        GeminiWaysFusion(16, **arguments)


def test_another_number_of_streams_is_refused(make):
    with pytest.raises(ValueError, match="num_streams=3, got 2"):
        build(3)([make(4, DIM), make(4, DIM)])


@needs_named_sizes
def test_operator_is_exported(make):
    class Three(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.operator = build(3)

        def forward(self, first, second, third):
            return tuple(self.operator([first, second, third]))

    model, streams = Three().eval(), tuple(make(TOKENS, DIM) for _ in range(3))
    assert_close(torch.export.export(model, streams).module()(*streams), model(*streams))


def test_function_refuses_masks_of_another_number(make):
    operator, masks = build(3), [torch.ones(TOKENS, dtype=torch.bool)] * 2
    streams = [make(TOKENS, DIM) for _ in range(3)]
    with pytest.raises(ValueError, match="exists has 2 masks for 3 streams"):
        ways_fusion(streams, operator.fusion_parameters(), HEADS, masks)


@pytest.mark.parametrize("with_autocast", [False, True])
@pytest.mark.parametrize("of_second", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("of_first", [torch.float16, torch.float32])
def test_streams_of_any_dtype_are_fused_or_refused(make, of_first, of_second, with_autocast):
    operator = build(3).float()
    exact = [make(TOKENS, DIM) for _ in range(3)]
    streams = [exact[0].to(of_first), exact[1].to(of_second), exact[2].to(of_first)]
    wider = torch.promote_types(of_first, of_second)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=with_autocast):
        if wider == torch.float64:
            with pytest.raises(ValueError, match="GeminiWaysFusion: the streams are torch.float64"):
                operator(streams)
            return
        fused = operator(streams)
    for ours, wanted in zip(fused, operator.double()(exact)):
        assert ours.dtype == wider
        assert_close(ours.double(), wanted, rtol=0.1, atol=0.1)

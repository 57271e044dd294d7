"""What the rivals compute."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from every_operator import OPERATORS
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from gemini_det3d.fusion import (
    ChannelExchangeFusion,
    ConcatFusion,
    CrossAttentionFusion,
    SumFusion,
    TokenExchangeFusion,
)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_take_the_same_arguments_and_name_a_wrong_dim(name):
    assert name(dim=16, num_heads=4).dim == 16
    with pytest.raises(ValueError, match=f"{name.__name__}: dim must be .* got -1"):
        name(dim=-1)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_parameter_gets_a_gradient(name, make):
    operator = name(16).double()
    fused = operator(make(7, 16), make(7, 16))
    loss = sum((f * make(7, 16)).sum() for f in fused) + sum(operator.auxiliary_losses().values())
    if list(operator.parameters()):
        loss.backward()
    for key, parameter in operator.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.count_nonzero() > 0, key


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 5), (3, 0), (2, 3, 5)])
@pytest.mark.parametrize("is_training", [True, False])
def test_any_leading_shape_is_fused(name, shape, is_training, make):
    operator = name(16).double().train(is_training)
    streams = [make(*shape, 16, grad=True) for _ in range(2)]
    fused = operator(*streams)
    assert [f.shape for f in fused] == [streams[0].shape] * 2
    sum(f.sum() for f in fused).backward()
    assert all(s.grad.isfinite().all() for s in streams)


@pytest.mark.parametrize("name", OPERATORS)
def test_losses_are_handed_out_once_and_in_training_only(name, make):
    operator = name(16).double()
    with_losses = {TokenExchangeFusion: "loss_token_scores"}
    with_losses[ChannelExchangeFusion] = "loss_channel_scales"
    names = {with_losses[name]} if name in with_losses else set()
    operator(make(3, 16), make(3, 16))
    assert operator.auxiliary_losses().keys() == names
    assert operator.auxiliary_losses() == {}
    operator.eval()(make(3, 16), make(3, 16))
    assert operator.auxiliary_losses() == {}


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


def test_cross_attention_is_multihead_attention_both_ways(make):
    operator = CrossAttentionFusion(6, num_heads=2).double()
    first, second = make(2, 5, 6), make(2, 5, 6)
    for i, (own, other) in enumerate(((first, second), (second, first))):
        key_value = operator.key_value[i]
        read, _ = F.multi_head_attention_forward(
            *(t.transpose(0, 1) for t in (own, other, other)),
            embed_dim_to_check=6,
            num_heads=2,
            in_proj_weight=torch.cat((operator.query[i].weight, key_value.weight)),
            in_proj_bias=torch.cat((operator.query[i].bias, key_value.bias)),
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=operator.out[i].weight,
            out_proj_bias=operator.out[i].bias,
        )
        assert_close(operator(first, second)[i], own + read.transpose(0, 1))


def test_cross_attention_reads_within_one_token_set_only(make):
    operator = CrossAttentionFusion(6, num_heads=2).double()
    maps = make(2, 3, 5, 6), make(2, 3, 5, 6)
    before = operator(*maps)[0]
    maps[1][1, 2, 4] += 1
    is_changed = (operator(*maps)[0] != before).any(-1)
    assert is_changed[1].all() and not is_changed[0].any()


def test_cross_attention_with_a_mask_is_that_of_the_valid_tokens_alone(make):
    operator = CrossAttentionFusion(6, num_heads=2).double()
    first, second = make(3, 7, 6), make(3, 7, 6)
    valid = torch.tensor([[0, 1, 0, 1, 1, 0, 0], [0] * 7, [1] * 7], dtype=torch.bool)
    fused = operator(first, second, valid)
    for number, kept in enumerate(valid):
        alone = operator(first[number : number + 1, kept], second[number : number + 1, kept])
        for stream, own, wanted in zip(fused, (first, second), alone):
            assert_close(stream[number, kept], wanted[0])
            assert torch.equal(stream[number, ~kept], own[number, ~kept])


def test_cross_attention_computes_nothing_for_tokens_that_are_not_valid(make):
    operator = CrossAttentionFusion(6, num_heads=2).double()
    first, second = make(2, 200, 6), make(2, 200, 6)
    valid = torch.zeros(2, 200, dtype=torch.bool)
    valid[0, 30:40] = valid[1, 100:105] = True
    with FlopCounterMode(display=False) as masked:
        operator(first, second, valid)
    with FlopCounterMode(display=False) as short:
        operator(first[:, :10], second[:, :10])
    assert masked.get_total_flops() == short.get_total_flops() > 0


def test_token_exchange_takes_the_weighted_twin_where_the_score_is_low(make):
    operator = TokenExchangeFusion(8).double()
    operator.score[1].load_state_dict(operator.score[0].state_dict())  # scores of one range
    first, second = make(50, 8), make(50, 8)
    scores = [operator.score[i](s).softmax(-1)[:, :1] for i, s in enumerate((first, second))]
    operator.threshold = float(torch.cat(scores).mean().detach())
    is_low = [score < operator.threshold for score in scores]
    assert all(0 < low.sum() < 50 for low in is_low)
    weighted = first * scores[0], second * scores[1]
    fused = operator(first, second)
    for i in (0, 1):
        assert_close(fused[i][~is_low[i][:, 0]], weighted[i][~is_low[i][:, 0]])
        assert_close(fused[i][is_low[i][:, 0]], weighted[1 - i][is_low[i][:, 0]])


def test_token_score_loss_is_the_sum_over_valid_tokens(make):
    operator = TokenExchangeFusion(8, loss_weight=0.1).double()
    first, second = make(9, 8), make(9, 8)
    valid = torch.arange(9) > 3
    operator(first, second, valid)
    scores = [operator.score[i](s[valid]).softmax(-1)[:, 0] for i, s in enumerate((first, second))]
    wanted = 0.1 * (scores[0].sum() + scores[1].sum())
    assert_close(operator.auxiliary_losses()["loss_token_scores"], wanted)


def test_channel_exchange_takes_the_other_normalised_channel_where_the_scale_is_low(make):
    operator = ChannelExchangeFusion(5, threshold=0.02).double()
    with torch.no_grad():
        operator.norm[0].weight.copy_(torch.tensor([1.0, -0.01, 0.5, 0.0, -2.0]))
        operator.norm[1].bias.fill_(0.3)
    first, second = make(30, 5), make(30, 5)
    normed = [
        F.batch_norm(s, None, None, n.weight, n.bias, True)
        for s, n in zip((first, second), operator.norm)
    ]
    fused = operator(first, second)
    low = torch.tensor([False, True, False, True, False])
    assert_close(fused[0], torch.where(low, normed[1], normed[0]))
    assert_close(fused[1], normed[1])


def test_gradient_of_a_lonely_token_is_that_of_its_own_forward(make):
    """A training step may hold several forwards; the second one moves the running statistics."""
    operator = ChannelExchangeFusion(5).double()
    lonely = make(1, 5).requires_grad_()
    (alone,) = torch.autograd.grad(operator(lonely, make(1, 5))[0].sum(), lonely)
    fused = operator(lonely, make(1, 5))[0]
    operator(10 * make(30, 5), 10 * make(30, 5))
    assert_close(torch.autograd.grad(fused.sum(), lonely)[0], alone)


def test_statistics_move_once_though_a_checkpoint_repeats_the_forward(make):
    plain, repeated = (ChannelExchangeFusion(5).double() for _ in range(2))
    streams = [make(30, 5).requires_grad_() for _ in range(2)]
    gradients = []
    for operator, call in ((plain, lambda f, *x: f(*x)),
                           (repeated, partial(checkpoint, use_reentrant=False))):  # fmt: skip
        fused = call(operator, *streams)
        loss = sum(x.square().sum() for x in fused)
        gradients.append(torch.autograd.grad(loss, streams))
    assert_close(gradients[0], gradients[1])
    for one, other in zip(plain.norm, repeated.norm):
        assert_close(one.running_mean, other.running_mean)
        assert one.num_batches_tracked == other.num_batches_tracked == 1


def test_channel_scale_loss_presses_disjoint_halves():
    operator = ChannelExchangeFusion(5, loss_weight=0.1).double()
    operator(torch.zeros(2, 5).double(), torch.zeros(2, 5).double())
    loss = operator.auxiliary_losses()["loss_channel_scales"]
    gradients = torch.autograd.grad(loss, [norm.weight for norm in operator.norm])
    assert_close(gradients[0], torch.tensor([0.1, 0.1, 0, 0, 0]).double())
    assert_close(gradients[1], torch.tensor([0, 0, 0.1, 0.1, 0.1]).double())


@pytest.mark.parametrize(
    ("name", "arguments", "key"),
    [
        (TokenExchangeFusion, {"threshold": 2}, "threshold"),
        (TokenExchangeFusion, {"dim": 3}, "dim"),
        (ChannelExchangeFusion, {"loss_weight": -1}, "loss_weight"),
        (ChannelExchangeFusion, {"dim": 1}, "dim"),
        (CrossAttentionFusion, {"num_heads": 3}, "num_heads"),
    ],
)
def test_wrong_argument_is_named_when_built(name, arguments, key):
    with pytest.raises(ValueError, match=f"{name.__name__}: {key}"):
        name(**{"dim": 16, **arguments})


DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("of_second", DTYPES)
@pytest.mark.parametrize("of_first", DTYPES)
def test_streams_of_any_dtype_are_fused_or_refused_in_one_line(name, of_first, of_second, make):
    """One word swaps operators, of a half-precision camera, too."""
    operator = name(16).eval()
    exact = make(7, 16), make(7, 16)
    streams = exact[0].to(of_first), exact[1].to(of_second)
    wider = torch.promote_types(of_first, of_second)
    own = next((parameter.dtype for parameter in operator.parameters()), wider)
    if not operator.takes_any_dtype and torch.promote_types(wider, own) != own:
        with pytest.raises(ValueError, match=rf"streams are {wider}, the parameters torch.float32"):
            operator(*streams)
        return
    fused = operator(*streams)
    wanted = operator.double()(*exact)
    tolerance = 0.1 if torch.bfloat16 in (of_first, of_second) else 0.02
    for ours, theirs in zip(fused, wanted):
        assert ours.dtype == wider
        assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("to_sparse", [torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr])
@pytest.mark.parametrize("name", OPERATORS)
def test_sparse_streams_are_refused_by_every_operator(name, to_sparse, make):
    stream = make(7, 16, dtype=torch.float32)
    with pytest.raises(ValueError, match=f"{name.__name__}: a stream is sparse"):
        name(16)(stream, to_sparse(stream))


@pytest.mark.parametrize("mask", [None, [True, False, True, True, False, True, True]])
@pytest.mark.parametrize("name", OPERATORS)
def test_autocast_changes_the_dtype_of_no_answer_with_or_without_a_mask(name, mask, make):
    valid = None if mask is None else torch.tensor(mask)
    operator = name(16).eval()
    streams = make(7, 16, dtype=torch.float32), make(7, 16, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused = operator(*streams, valid)
    for ours, exact in zip(fused, operator(*streams, valid)):
        assert ours.dtype == torch.float32
        assert_close(ours, exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("of_operator", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPERATORS)
def test_double_streams_or_parameters_under_autocast_are_fused_or_refused(name, of_operator, make):
    operator = name(16).eval().to(of_operator)
    for of_streams in (torch.float64, torch.float32):
        streams = make(7, 16, dtype=of_streams), make(7, 16, dtype=of_streams)
        own = next((parameter.dtype for parameter in operator.parameters()), of_streams)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if (of_streams, own) == (torch.float64, torch.float32) and not name.takes_any_dtype:
                with pytest.raises(ValueError, match="the streams are torch.float64"):
                    operator(*streams)
                continue
            assert [stream.dtype for stream in operator(*streams)] == [of_streams] * 2

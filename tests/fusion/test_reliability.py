"""Reliability inside the gate: the same function in every form, trained by its own loss."""

from __future__ import annotations

import copy

import pytest
import torch
from older_torch import skip_module_without_custom_operators
from reference import random_released
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion, blend_streams, kernels, reliability_loss
from gemini_det3d.fusion.base import Doubts
from gemini_det3d.fusion.functional import FusionParameters

skip_module_without_custom_operators()

from gemini_det3d.fusion.kernels.library import fuse, fuse_backward  # noqa: E402

DIM, HEADS, TOKENS = 15, 5, 101
FORMS = ("compact", "traced", "blockwise")
MASKS = {"all": None, "some": torch.arange(TOKENS) % 3 > 0, "block": torch.arange(TOKENS) > 40}


WORTH = (0.2, 0.14)
TOLD = ("reliability_weight", "reliability_bias")


def build(backend: str = "plain", worth: tuple = WORTH, **options) -> GeminiFusion:
    operator = GeminiFusion.from_released(
        random_released(DIM), HEADS, backend=backend, block_tokens=32, reliability=True, **options
    )
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for name in TOLD:
            parameter = getattr(operator, name)
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.1 * drawn)
        operator.reliability_worth.copy_(torch.tensor(worth))
    return operator


def trained_by_the_task(operator):
    return [p for n, p in operator.named_parameters() if n not in TOLD]


def run(operator, streams, cotangents, valid=None):
    fused = operator(*streams, valid)
    tensors = [*streams, *trained_by_the_task(operator)]
    return [*fused, *torch.autograd.grad(fused, tensors, cotangents)]


@pytest.fixture
def streams(make):
    return [make(TOKENS, DIM, grad=True) for _ in range(2)]


@pytest.fixture
def cotangents(make):
    return [make(TOKENS, DIM) for _ in range(2)]


def test_gate_follows_the_two_key_softmax_with_the_weighted_log_of_trust_added(streams):
    operator, released = build(), GeminiFusion.from_released(random_released(DIM), HEADS)
    doubts = operator.doubts(*streams)
    trust = [(1 - d.sigmoid())[..., None] ** (5 * g) for d, g in zip(doubts, WORTH)]
    for i, (gate, without) in enumerate(zip(operator.gates(*streams), released.gates(*streams))):
        other, own = without * trust[1 - i], (1 - without) * trust[i]
        assert_close(gate, other / (other + own))


def test_switching_reliability_on_changes_the_answer(streams):
    released = GeminiFusion.from_released(random_released(DIM), HEADS)
    for full, less in zip(build()(*streams), released(*streams)):
        assert ((full - less).abs().amax(-1) > 1e-3).float().mean() > 0.9


@pytest.mark.parametrize("backend", ("plain", *FORMS))
def test_doubts_worth_nothing_give_the_released_operator(streams, backend):
    operator = build(backend, worth=(0.0, 0.0))
    options = dict(backend=backend, block_tokens=32)  # as there: a BLAS rounds by the block's size
    plain = GeminiFusion.from_released(random_released(DIM), HEADS, **options)
    assert all(map(torch.equal, operator(*streams), plain(*streams)))


def test_a_new_operator_gives_no_doubt_a_say():
    operator = GeminiFusion(DIM, HEADS, reliability=True)
    streams = torch.randn(2, TOKENS, DIM)
    assert operator.doubt_bias(*streams).count_nonzero() == 0
    operator(*streams)[0].square().sum().backward()
    assert operator.reliability_worth.grad.abs().min() > 0  # and can learn to


def test_without_reliability_nothing_is_added_to_the_state():
    assert GeminiFusion(DIM, HEADS).state_dict().keys() == {
        name for name in build().state_dict() if not name.startswith("reliability_")
    }


@pytest.mark.parametrize("with_recompute", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("backend", FORMS)
def test_every_form_equals_the_plain_one(streams, cotangents, backend, mask, with_recompute):
    wanted = run(build(), streams, cotangents, MASKS[mask])
    found = run(build(backend, with_recompute=with_recompute), streams, cotangents, MASKS[mask])
    assert_close(found, wanted)


@pytest.mark.parametrize("backend", ("plain", *FORMS))
def test_doubts_are_trained_by_their_own_loss_alone_their_worth_by_the_task(streams, backend):
    operator = build(backend)
    sum(fused.sum() for fused in operator(*streams)).backward()
    assert all(getattr(operator, name).grad is None for name in TOLD)
    assert operator.reliability_worth.grad.abs().min() > 0
    operator.reliability_worth.grad = None
    reliability_loss(operator.take_doubts(), [torch.ones(TOKENS), torch.zeros(TOKENS)]).backward()
    assert operator.reliability_weight.grad.abs().sum() > 0
    assert operator.reliability_worth.grad is None


def test_doubts_read_the_mean_of_the_sample_over_what_is_valid(make):
    operator, streams = build(), [make(3, 4, 2, DIM) for _ in range(2)]
    valid = torch.arange(24).view(3, 4, 2) % 5 > 0
    rows = operator.doubts(*streams, valid)
    one = operator.doubts(*(stream[1:2] for stream in streams), valid[1:2])
    assert_close([row[1:2] for row in rows], list(one))
    flat = [stream.flatten(0, 2) for stream in streams]
    counts = (8, 8, 8)  # the same samples, one behind the other
    assert_close(operator.doubts(*flat, valid.flatten(), counts), tuple(r.flatten() for r in rows))
    spoilt = [torch.where(valid[..., None], stream, torch.nan) for stream in streams]
    assert_close([d[valid] for d in operator.doubts(*spoilt, valid)], [r[valid] for r in rows])


def test_two_forwards_may_come_before_the_backward(make):
    operator = build()
    losses = []
    for strength in (0.0, 1.0):
        operator(make(3, 4, DIM), make(3, 4, DIM))
        strengths = [torch.full((3,), strength)] * 2
        losses.append(reliability_loss(operator.take_doubts(), strengths))
    sum(losses).backward()
    assert operator.reliability_weight.grad.isfinite().all()


def test_running_statistics_follow_the_valid_tokens_and_their_means(make):
    operator, valid = GeminiFusion(DIM, HEADS, reliability=True).double(), torch.ones(3, 40) > 0
    valid[:, ::4] = False
    for number in range(200):
        first = 2 * make(3, 40, DIM) + 5
        operator(torch.where(valid[..., None], first, torch.nan), make(3, 40, DIM), valid)
        if not number:
            assert_close(operator.reliability_centre[0, :DIM], first[valid].mean(0))
            assert_close(operator.reliability_variance[0, :DIM], first[valid].var(0, correction=0))
    centre, variance = operator.reliability_centre[0], operator.reliability_variance[0]
    assert_close(centre, torch.full_like(centre, 5), rtol=0, atol=0.3)
    assert 3 < variance[:DIM].mean() < 5 and 3 / 30 < variance[DIM:].mean() < 5 / 30
    before = centre.clone()
    operator.eval()(first, first)
    assert torch.equal(operator.reliability_centre[0], before)


def test_a_new_layer_doubts_everything_by_a_tenth():
    doubts = GeminiFusion(DIM, HEADS, reliability=True).doubts(*torch.randn(2, TOKENS, DIM))
    assert_close(torch.stack(doubts).sigmoid(), torch.full((2, TOKENS), 0.1))


@pytest.mark.parametrize("backend", FORMS)
@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3, 5), ()])
def test_forms_take_any_leading_shape(make, backend, shape):
    tokens = [make(*shape, DIM, grad=True) for _ in range(2)]
    towards = [make(*shape, DIM) for _ in range(2)]
    assert_close(run(build(backend), tokens, towards), run(build(), tokens, towards))


def test_gradcheck_and_gradgradcheck_hold_block_by_block(make):
    parameters = GeminiFusion.from_released(random_released(4), 2).fusion_parameters()

    def call(first, second, bias, *tensors):
        valid = torch.tensor([True, False])
        given = (first, second, FusionParameters(*tensors), 2, valid, False, 1, bias)
        return kernels.run("blockwise", *given)

    inputs = [make(2, 4, grad=True), make(2, 4, grad=True), make(2, grad=True), *parameters]
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


def test_custom_operators_with_a_bias_pass_opcheck(make):
    operator = GeminiFusion.from_released(random_released(6), 3)
    tokens = [make(5, 6, grad=True) for _ in range(2)]
    rest = (*operator.parameters(), 3, torch.float64, False, 2, True, make(5, grad=True))
    assert set(torch.library.opcheck(fuse, (*tokens, None, *rest)).values()) == {"SUCCESS"}
    tape = fuse(*tokens, None, *rest)[2].detach()
    upstream = [make(5, 6, grad=True) for _ in range(2)]
    checked = torch.library.opcheck(fuse_backward, (*tokens, None, tape, *upstream, *rest))
    assert set(checked.values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", ("plain", *FORMS))
def test_doubts_are_computed_in_float32_under_autocast(make, backend):
    operator = build(backend).float().eval()
    tokens = [make(TOKENS, DIM, dtype=torch.float32) for _ in range(2)]
    exact = operator.doubts(*tokens)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(operator.doubts(*tokens), exact)
        fused = operator(*tokens)
    assert_close(fused, build().float().eval()(*tokens), rtol=0.1, atol=0.1, check_dtype=False)


def test_compiled_operator_equals_the_eager_one(streams, cotangents):
    torch.compiler.reset()
    operator = build("auto")
    compiled = torch.compile(operator, backend="aot_eager", fullgraph=True)
    tensors = [*streams, *trained_by_the_task(operator)]
    fused = compiled(*streams)
    gradients = torch.autograd.grad(fused, tensors, cotangents)
    assert_close([*fused, *gradients], run(build(), streams, cotangents))


def test_operator_is_exported(streams):
    operator = build("auto").eval()
    inputs = tuple(stream.detach() for stream in streams)
    exported = torch.export.export(operator, inputs)
    assert_close(exported.module()(*inputs), operator(*inputs))


def test_doubts_keep_no_form_away():
    streams = torch.zeros(3, 16), torch.zeros(3, 16)
    plain, doubting = (GeminiFusion(16, 4, reliability=r).explain(*streams) for r in (False, True))
    assert plain == doubting


def test_released_names_have_no_place_for_a_layer_of_doubts():
    with pytest.raises(ValueError, match="reliability_weight has no counterpart"):
        build().to_released()


def test_doubted_stream_is_blended_in_less(make):
    first, second, bias = make(7, DIM), make(7, DIM), make(7)
    alpha = torch.tensor([0.3, -0.4], dtype=torch.float64)
    share = torch.sigmoid(alpha[0] - alpha[1] - bias)[:, None]
    assert_close(
        blend_streams(first, second, alpha, bias=bias), share * first + (1 - share) * second
    )
    exists = torch.arange(7) > 2
    masked = blend_streams(first, second, alpha, first_exists=exists, bias=bias)
    assert torch.equal(masked[:3], second[:3])


def test_loss_is_cross_entropy_with_the_strength_of_each_sample(make):
    logits = make(2, 5), make(2, 5)
    strengths = torch.tensor([0.0, 0.5]), torch.tensor([1.0, 0.0])
    found = reliability_loss(Doubts(*logits, None, None, 2.0), strengths)
    shares = [logit.sigmoid() for logit in logits]
    slow = [
        -(t * s[b, n].log() + (1 - t) * (1 - s[b, n]).log())
        for s, target in zip(shares, strengths)
        for b, t in enumerate(target.double())
        for n in range(5)
    ]
    assert_close(found, 2.0 * torch.stack(slow).mean())


def test_loss_of_samples_behind_each_other_equals_that_of_sets(make):
    logits = make(2, 5), make(2, 5)
    strengths = torch.tensor([0.2, 1.0]), torch.tensor([0.0, 0.7])
    valid = torch.arange(10).view(2, 5) % 3 > 0
    sets = reliability_loss(Doubts(*logits, valid, None, 1.0), strengths)
    flat = [logit.flatten() for logit in logits]
    rows = reliability_loss(Doubts(*flat, valid.flatten(), (5, 5), 1.0), strengths)
    assert_close(sets, rows)
    with pytest.raises(ValueError, match="tokens of 3 samples, strengths of 2"):
        reliability_loss(Doubts(*flat, None, (5, 2, 3), 1.0), strengths)


def test_doubts_are_held_in_training_only_and_taken_once(streams):
    operator = build()
    operator(*streams)
    assert copy.deepcopy(operator).take_doubts() is None
    assert operator.take_doubts() is not None and operator.take_doubts() is None
    operator.eval()(*streams)
    assert operator.take_doubts() is None

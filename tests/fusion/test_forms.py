"""Every form under every mode, on both sides of every threshold: numbers of tokens do not matter.

What works must not depend on how many tokens there are: transforms, forward-mode differentiation,
streams and weights of different dtype, steps in place on the outputs, device meta, no tokens.
"""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from older_torch import needs_all_forms
from reference import random_released
from torch.autograd import forward_ad
from torch.testing import assert_close

from gemini_det3d.fusion import CrossAttentionFusion, GeminiFusion, SumFusion
from gemini_det3d.fusion.kernels import BACKENDS, FORMS, forms
from gemini_det3d.fusion.kernels.torch_versions import has_triton

DIM, HEADS = 16, 4
FEW = forms._FEW_ELEMENTS // DIM  # the last number of tokens that `compact` takes
COUNTS = (0, 1, FEW, FEW + 1)
CPU_BACKENDS = tuple(name for name in BACKENDS if name != "fused")

every_form = pytest.mark.parametrize("backend", CPU_BACKENDS)
every_count = pytest.mark.parametrize("count", COUNTS)


@pytest.fixture(params=CPU_BACKENDS)
def operator(request) -> GeminiFusion:
    return build(request.param)


def build(backend: str, **options) -> GeminiFusion:
    released = random_released(DIM)
    return GeminiFusion.from_released(released, HEADS, backend=backend, **options)


@pytest.fixture
def streams(make):
    def draw(count: int, dtype: torch.dtype = torch.float64, grad: bool = False):
        return [make(count, DIM, dtype=dtype, grad=grad) for _ in range(2)]

    return draw


def far_apart(found, wanted) -> float:
    """Root mean square difference in units of the root mean square value; 0 without tokens."""
    wrong = sum((f.double() - w).square().sum() for f, w in zip(found, wanted))
    return float((wrong / sum(w.square().sum() for w in wanted).clamp(min=1e-30)).sqrt())


def along(operator, streams, tangents):
    """Values and their derivative along the tangents, by two gradients of the definition."""
    plain = build("plain")
    exact = [s.detach().requires_grad_() for s in streams]
    fused = plain(*exact)
    towards = [torch.zeros_like(f).requires_grad_() for f in fused]
    inner = torch.autograd.grad(fused, exact, towards, create_graph=True)
    total = sum((g * t).sum() for g, t in zip(inner, tangents))
    return fused, torch.autograd.grad(total, towards)


@every_count
def test_forward_mode_gives_the_derivative(operator, streams, count):
    primals, tangents = streams(count), streams(count)
    values, wanted = along(operator, primals, tangents)
    found = torch.func.jvp(operator, tuple(primals), tuple(tangents))
    assert_close(found[0], values)
    assert_close(found[1], wanted)
    with forward_ad.dual_level():
        fused = operator(*(forward_ad.make_dual(p, t) for p, t in zip(primals, tangents)))
        slopes = tuple(forward_ad.unpack_dual(f).tangent for f in fused)
    assert_close(slopes, wanted)


@needs_all_forms
@pytest.mark.parametrize("count", (7, FEW, FEW + 1))
def test_compiled_forward_mode_gives_the_derivative(operator, streams, count):
    torch.compiler.reset()
    primals, tangents = streams(count), streams(count)

    def call(first, second):
        return torch.func.jvp(operator, (first, second), tuple(tangents))[1]

    compiled = torch.compile(call, backend="eager", fullgraph=True)
    assert_close(compiled(*primals), along(operator, primals, tangents)[1],
                 check_dtype=False)  # fmt: skip


@every_count
def test_gradient_transforms_equal_autograd(operator, streams, count):
    first, second = streams(count, grad=True)

    def loss(first, second):
        return sum(fused.square().sum() for fused in operator(first, second))

    wanted = torch.autograd.grad(loss(first, second), (first, second))
    inputs = first.detach(), second.detach()
    found = torch.func.grad(loss, argnums=(0, 1))(*inputs)
    assert_close(found, wanted)
    _, pull = torch.func.vjp(loss, *inputs)
    assert_close(pull(torch.ones(())), wanted)


@every_count
def test_vmap_equals_a_loop(operator, streams, count):
    sets = [torch.stack([stream, -stream, 2 * stream]) for stream in streams(count)]
    wanted = [torch.stack(each) for each in zip(*(operator(*pair) for pair in zip(*sets)))]
    assert_close(list(torch.vmap(operator)(*sets)), wanted)


@every_count
def test_batched_gradients_equal_a_loop(operator, streams, count):
    inputs = streams(count, grad=True)
    fused = operator(*inputs)
    towards = [torch.stack([t, 2 * t]) for t in streams(count)]
    tensors = [*inputs, operator.query_weight]
    single = [
        torch.autograd.grad(fused, tensors, [t[i] for t in towards], retain_graph=True)
        for i in (0, 1)
    ]
    found = torch.autograd.grad(fused, tensors, towards, is_grads_batched=True)
    assert_close(found, tuple(torch.stack(pair) for pair in zip(*single)))


@every_count
@pytest.mark.parametrize(
    ("of_streams", "of_weights"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.bfloat16),
        (torch.float16, torch.bfloat16),
        (torch.float32, torch.float64),
    ],
)
def test_weights_may_have_another_dtype_than_the_streams(
    operator, streams, count, of_streams, of_weights
):
    operator = operator.to(of_weights)
    exact = GeminiFusion.from_released(operator.to_released(), HEADS, backend="plain").double()
    inputs = streams(count, of_streams, grad=True)
    fused = operator(*inputs)
    wanted = exact(*(s.detach().double() for s in inputs))
    assert all(f.dtype == of_streams for f in fused)
    assert far_apart(fused, wanted) < (1e-5 if of_streams == torch.float32 else 0.02)
    sum(f.sum() for f in fused).backward()
    for tensor in (*inputs, *operator.parameters()):
        assert tensor.grad.dtype == tensor.dtype


@every_count
@pytest.mark.parametrize("with_mask", [False, True])
def test_outputs_may_be_changed_in_place_and_do_not_share_memory(
    operator, streams, count, with_mask
):
    mask = torch.arange(count) % 3 > 0 if with_mask else None
    inputs = streams(count, grad=True)
    before = [f.detach().clone() for f in operator(*inputs, mask)]
    first, second = operator(*inputs, mask)
    first += 1
    torch.nn.functional.relu(second, inplace=True)
    assert_close(first, before[0] + 1)
    assert_close(second, before[1].relu())
    (first.sum() + second.sum()).backward()
    storages = {tensor.untyped_storage().data_ptr() for tensor in (first, second, *inputs)}
    assert count == 0 or len(storages) == 4
    assert first.untyped_storage().nbytes() == first.nbytes


@every_count
def test_device_meta_gives_shapes(operator, count):
    operator = operator.to("meta")
    inputs = [torch.empty(count, DIM, device="meta", requires_grad=True) for _ in range(2)]
    fused = operator(*inputs)
    assert [f.shape for f in fused] == [(count, DIM)] * 2
    sum(f.sum() for f in fused).backward()
    assert inputs[0].grad.shape == (count, DIM)


@pytest.mark.parametrize("count", (7, FEW + 1))
def test_copies_and_pickles_compute_the_same(operator, streams, count):
    inputs = streams(count)
    for twin in (copy.deepcopy(operator), pickle.loads(pickle.dumps(operator))):
        assert_close(twin(*inputs), operator(*inputs), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@every_count
def test_autocast_keeps_the_streams_dtype(operator, streams, count, dtype):
    operator = operator.float()
    inputs = streams(count, torch.float32, grad=True)
    with torch.autocast("cpu", dtype=dtype):
        fused = operator(*inputs)
    assert all(f.dtype == torch.float32 for f in fused)
    assert far_apart(fused, operator(*inputs)) < 0.02
    sum(f.sum() for f in fused).backward()
    assert all(p.grad.dtype == torch.float32 for p in operator.parameters())


@pytest.mark.parametrize("form", [GeminiFusion, SumFusion, CrossAttentionFusion])
def test_any_librarys_integers_are_integers(form):
    operator = form(np.int64(16), num_heads=np.int32(4))
    assert type(operator.dim) is int
    with pytest.raises(ValueError, match="dim must be a positive integer, got 16.0"):
        form(16.0)
    with pytest.raises(ValueError, match="dim must be a positive integer, got True"):
        form(True)


def test_blocks_may_be_counted_in_any_librarys_integers():
    assert type(GeminiFusion(16, block_tokens=np.int64(32)).block_tokens) is int
    with pytest.raises(ValueError, match="block_tokens must be an integer of 0 or more, got -1"):
        GeminiFusion(16, block_tokens=-1)
    with pytest.raises(ValueError, match="block_tokens must be an integer of 0 or more, got True"):
        GeminiFusion(16, block_tokens=True)


def test_integer_streams_are_refused():
    with pytest.raises(ValueError, match="both streams must be floating point, got torch.int64"):
        GeminiFusion(16)(torch.ones(3, 16, dtype=torch.int64), torch.ones(3, 16))


def test_sum_of_streams_is_two_tensors(make):
    first, second = SumFusion(DIM)(make(3, DIM), make(3, DIM))
    before = second.clone()
    first += 1
    assert torch.equal(second, before)


@needs_all_forms
@pytest.mark.parametrize(
    ("count", "options", "form"),
    [
        (FEW, {}, "compact"),
        (FEW + 1, {}, "blockwise"),
        (7, {"with_recompute": True}, "blockwise"),
        (7, {"block_tokens": 32}, "blockwise"),
        (7, {"backend": "traced"}, "traced"),
        (FEW + 1, {"with_noise": False}, "plain"),
    ],
)
def test_explain_names_the_form_and_why_not_the_others(count, options, form):
    operator = GeminiFusion(DIM, HEADS, **options)
    said = operator.explain(torch.ones(count, DIM), torch.ones(count, DIM))
    assert said.form == form
    assert set(said.others) == {each.name for each in FORMS} - {form}
    assert all(said.others.values()) and str(said).startswith(f"{form}: ")


def test_explain_sees_transforms():
    operator, streams = GeminiFusion(DIM, HEADS), torch.ones(2, 3, DIM)
    with forward_ad.dual_level():
        assert operator.explain(*streams).form == "plain"
    assert torch.vmap(lambda x: x * len(operator.explain(x, x).form))(streams).max() == 5


def test_fused_form_on_a_cpu_is_one_line():
    if not has_triton():
        pytest.skip("no Triton that runs the kernels")
    operator = GeminiFusion(DIM, HEADS, backend="fused")
    with pytest.raises(ValueError, match="backend='fused' needs a GPU, the streams are on cpu"):
        operator(torch.ones(3, DIM), torch.ones(3, DIM))

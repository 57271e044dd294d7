"""Run by test_triton.py in a process of its own: Triton reads TRITON_INTERPRET when imported."""

from __future__ import annotations

import contextlib
import copy
import sys
import warnings
from pathlib import Path

import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from reference import random_released  # noqa: E402

from gemini_det3d.fusion import GeminiFusion  # noqa: E402
from gemini_det3d.fusion.kernels import (  # noqa: E402
    fused,
    fused_backward,
    fused_launches,
    fused_problem,
    tiles,
    triton_parts,
)
from gemini_det3d.fusion.kernels.library import unpack  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ALLOCATIONS = ("empty", "new_empty", "empty_like", "view", "_unsafe_view", "reshape", "alias",
               "detach", "unbind", "select", "slice", "as_strided", "transpose", "t", "split",
               "expand", "permute", "lift_fresh", "_reshape_alias", "unsqueeze")  # fmt: skip


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(DEVICE, dtype).requires_grad_()


def build(channels: int, heads: int, dtype=torch.float32, **options) -> GeminiFusion:
    released = {name: t.to(DEVICE, dtype) for name, t in random_released(channels).items()}
    return GeminiFusion.from_released(released, heads, backend="fused", **options)


def error(found, wanted) -> float:
    """Root mean square error in units of the root mean square value."""
    found, wanted = found.detach().double(), wanted.detach()
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-9))


def errors(operator, streams, valid=None, autocast=None) -> dict[str, float]:
    """Of outputs and all gradients against the definition in float64."""
    exact = GeminiFusion.from_released(operator.to_released(), operator.num_heads, backend="plain")
    exact = exact.double()
    wide = [s.detach().double().requires_grad_() for s in streams]
    towards = [torch.randn(s.shape, device=DEVICE) for s in streams]
    wanted = exact(*wide, valid)
    expected = torch.autograd.grad(
        wanted, [*wide, *exact.parameters()], [t.double() for t in towards]
    )
    with torch.autocast(DEVICE, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        found = operator(*streams, valid)
    inputs = [*streams, *operator.parameters()]
    ups = [t.to(f.dtype) for t, f in zip(towards, found)]
    gradients = torch.autograd.grad(found, inputs, ups)
    assert all(g.dtype == i.dtype for g, i in zip(gradients, inputs))
    names = ["first", "second", "of first", "of second", *(n for n, _ in exact.named_parameters())]
    with torch.no_grad():
        alone = operator(*streams, valid) if autocast is None else found
    pairs = zip((*found, *gradients), (*wanted, *expected))
    worst = {name: error(f, w) for name, (f, w) in zip(names, pairs)}
    return worst | {"inference": max(error(f, w) for f, w in zip(alone, wanted))}


def float32_equals_float64() -> None:
    for tokens, channels, heads in ((1, 16, 4), (37, 24, 3), (33, 15, 5), (20, 80, 8), (17, 8, 8)):
        worst = errors(build(channels, heads), [draw(tokens, channels) for _ in "ab"])
        assert max(worst.values()) < 3e-6, (tokens, channels, heads, worst)


def rows_wider_than_a_tile_take_several_passes() -> None:
    assert tiles.tile("relation", 520, torch.float32, is_exact=True).columns < 520
    plain, asked = tiles.tile, []

    def narrow(kernel, *of):
        asked.append(kernel)
        return plain(kernel, *of)._replace(**({"columns": 16} if kernel == "relation" else {}))

    fused_problem.tile = narrow  # the interpreter takes half a minute for 520 channels
    operator, streams = build(72, 8), [draw(3, 72).detach() for _ in "ab"]
    exact = GeminiFusion.from_released(operator.to_released(), 8, backend="plain").double()
    with torch.no_grad():
        pairs = zip(operator(*streams), exact(*(s.double() for s in streams)))
        assert max(error(found, wanted) for found, wanted in pairs) < 1e-6
    fused_problem.tile = plain
    assert "relation" in asked


def masks_are_kept_within_the_kernels() -> None:
    for channels, tokens in ((24, 19), (80, 9)):
        operator = build(channels, 8)
        valid = torch.rand(2, tokens, device=DEVICE) > 0.3
        streams = [draw(2, tokens, channels) for _ in "ab"]
        assert max(errors(operator, streams, valid).values()) < 3e-6
        poisoned = [torch.where(valid[..., None], s, float("nan")).detach() for s in streams]
        poisoned = [stream.requires_grad_() for stream in poisoned]
        fused_streams = operator(*poisoned, valid)
        for new, old in zip(fused_streams, poisoned):
            assert torch.equal(new[~valid].isnan(), old[~valid].isnan())
            assert new[valid].isfinite().all()
        sum(f.nan_to_num().sum() for f in fused_streams).backward()
        tensors = (*poisoned, *operator.parameters())
        assert all(t.grad.isfinite().all() for t in tensors)
        with torch.no_grad():
            kept = operator(*poisoned, torch.zeros_like(valid))
        for new, old in zip(kept, poisoned):
            assert_close(new, old, rtol=0, atol=0, equal_nan=True)


def doubts_shift_the_gate() -> None:
    for channels, with_recompute in ((24, False), (80, False), (80, True)):
        operator = build(channels, 8, reliability=True, with_recompute=with_recompute)
        torch.nn.init.uniform_(operator.reliability_weight, -0.02, 0.02)  # doubts of a few
        torch.nn.init.uniform_(operator.reliability_worth, 0.05, 0.3)
        exact = copy.deepcopy(operator.eval()).double()  # training moves what doubts are told by
        exact.backend, valid = "plain", torch.rand(2, 9, device=DEVICE) > 0.3
        streams = [draw(2, 9, channels) for _ in "ab"]
        wide = [stream.detach().double().requires_grad_() for stream in streams]
        towards = [torch.randn(2, 9, channels, device=DEVICE) for _ in "ab"]
        found, wanted = operator(*streams, valid), exact(*wide, valid)
        with torch.no_grad():
            alone = operator(*streams, valid)
        sum((f * t).sum() for f, t in zip(found, towards)).backward()
        sum((w * t.double()).sum() for w, t in zip(wanted, towards)).backward()
        pairs = [*zip(found, wanted), *zip(alone, wanted)]
        ours, theirs = ([*tensors, *module.parameters()]
                        for tensors, module in ((streams, operator), (wide, exact)))  # fmt: skip
        pairs += [(a.grad, b.grad) for a, b in zip(ours, theirs) if b.grad is not None]
        assert max(error(*pair) for pair in pairs) < 3e-6
        assert operator.reliability_worth.grad.abs().min() > 0


def half_precision_is_close_to_float64() -> None:
    for dtype, channels in ((torch.bfloat16, 24), (torch.bfloat16, 80), (torch.float16, 80)):
        streams = [draw(37, channels, dtype=dtype) for _ in "ab"]
        worst = errors(build(channels, 8, dtype), streams)
        assert max(worst.values()) < 0.06 and worst["inference"] < 0.012, (dtype, worst)


def autocast_lowers_the_products_alone() -> None:
    for channels in (24, 80):
        operator, streams = build(channels, 8), [draw(21, channels) for _ in "ab"]
        worst = errors(operator, streams, autocast=torch.bfloat16)
        assert 1e-5 < worst["first"] < 0.012 and max(worst.values()) < 0.06, worst
        with torch.no_grad(), torch.autocast(DEVICE, dtype=torch.bfloat16):
            assert all(f.dtype == torch.float32 for f in operator(*streams))


def weights_may_have_another_dtype() -> None:
    for channels in (24, 80):
        streams = [draw(21, channels, dtype=torch.bfloat16) for _ in "ab"]
        assert max(errors(build(channels, 8), streams).values()) < 0.06
        mixed = build(channels, 8)
        mixed.in_bias.data = mixed.in_bias.data.bfloat16()
        assert mixed(*streams)[0].dtype == torch.bfloat16


def any_strides_are_read_in_place() -> None:
    operator = build(16, 4)
    maps = [draw(1, 16, 3, 5).permute(0, 2, 3, 1) for _ in "ab"]
    assert max(errors(operator, maps).values()) < 3e-6
    apart = [draw(7, 32)[:, ::2], draw(1, 16).expand(7, 16)]
    wanted = operator(*(s.contiguous() for s in apart))
    assert_close(operator(*apart), wanted, rtol=0, atol=0)


def no_tokens_pass() -> None:
    operator = build(16, 4)
    streams = [draw(0, 16), draw(0, 16)]
    fused_streams = operator(*streams)
    sum(f.sum() for f in fused_streams).backward()
    assert [f.shape for f in fused_streams] == [(0, 16)] * 2
    assert all(p.grad.count_nonzero() == 0 for p in operator.parameters())


def tokens_are_alone() -> None:
    for channels in (16, 80):
        operator = build(channels, 8)
        first, second = (draw(69, channels).detach() for _ in "ab")  # blocks of 32 tokens
        before = operator(first, second)
        order = torch.randperm(69)
        for old, new in zip(before, operator(first[order], second[order])):
            assert torch.equal(old[order], new)
        second[5, 3] = float("nan")
        is_hit = torch.arange(69, device=DEVICE) == 5
        for old, new in zip(before, operator(first, second)):
            assert torch.equal(new.isnan().any(-1), is_hit)
            assert torch.equal(new[~is_hit], old[~is_hit])


def sums_over_tokens_in_stretches_are_exact_and_equal() -> None:
    plain, fused_backward._CHUNK = fused_backward._CHUNK, 32  # as from 1,025 tokens on
    operator, streams = build(16, 2), [draw(70, 16) for _ in "ab"]
    assert max(errors(operator, streams).values()) < 3e-6
    runs = [
        torch.autograd.grad(sum(f.square().sum() for f in operator(*streams)),
                            operator.parameters())
        for _ in range(2)
    ]  # fmt: skip
    assert all(torch.equal(*pair) for pair in zip(*runs))
    fused_backward._CHUNK = plain


def recomputing_gives_the_same_bits_and_keeps_the_inputs_alone() -> None:
    gradients, kept = [], []
    streams = [draw(19, 80) for _ in "ab"]
    for with_recompute in (False, True):
        operator = build(80, 8, with_recompute=with_recompute)
        sizes = []

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.numel() if tensor.shape[-2:] == (19, 80) else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = sum(f.square().sum() for f in operator(*streams))
        gradients.append(torch.autograd.grad(loss, [*streams, *operator.parameters()]))
        kept.append((sum(sizes) - 4 * 19 * 80) / (19 * 80))  # without the loss's own
    assert all(torch.equal(*pair) for pair in zip(*gradients))
    assert kept[1] <= 2 and kept[0] <= 10 and kept[0] - kept[1] == 4


class Census(TorchDispatchMode):
    """Counts what would be launched: kernels of Triton, and ATen calls that compute.

    Args:
        is_dry: Launch no kernel: results hold anything.
    """

    def __init__(self, is_dry: bool = False) -> None:
        super().__init__()
        self.is_dry = is_dry
        self.kernels: list[str] = []
        self.aten: list[str] = []
        self.plain = triton_parts.launch

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function._schema.name
        namespace, short = name.split("::")
        if namespace == "aten" and short not in ALLOCATIONS:
            self.aten.append(short)
        return function(*arguments, **(options or {}))

    def __enter__(self):
        def launch(known, function, *arguments, **constants):
            self.kernels.append(function.fn.__name__)
            if not self.is_dry:
                self.plain(known, function, *arguments, **constants)

        triton_parts.launch = launch
        return super().__enter__()

    def __exit__(self, *reason):
        triton_parts.launch = self.plain
        return super().__exit__(*reason)

    @property
    def launches(self) -> int:
        return len(self.kernels) + len(self.aten)


def launches_are_few() -> None:
    lowered = (torch.float32, torch.bfloat16)
    for channels, stream_dtype, dtype, valid in (
        (16, torch.float32, torch.float32, None),
        (24, torch.float32, torch.float32, None),
        (80, torch.float32, torch.float32, None),
        (24, torch.bfloat16, torch.bfloat16, torch.arange(21) > 2),
        (80, torch.bfloat16, torch.bfloat16, torch.arange(21) > 2),
        (80, *lowered, None),
    ):
        operator = build(channels, 8, stream_dtype)
        streams = [draw(21, channels, dtype=stream_dtype) for _ in "ab"]
        with torch.autocast(DEVICE, dtype=dtype, enabled=stream_dtype != dtype):
            with Census(is_dry=True) as inference, torch.no_grad():
                operator(*streams, valid)
            with Census(is_dry=True) as training:
                fused_streams = operator(*streams, valid)
                ups = [torch.ones_like(f) for f in fused_streams]
                before = len(training.aten)
                inputs = [*streams, *operator.parameters()]
                torch.autograd.grad(fused_streams, inputs, ups)
        made = training.aten[:before].count("ones_like") + training.aten[:before].count("fill_")
        case = (channels, dtype, inference.aten, training.aten)
        most_alone = 16 if dtype == torch.float32 else 64  # channels of the single kernel
        assert inference.launches <= (1 if channels <= most_alone else 4), case
        assert training.launches - made <= 16, case
        assert len(training.kernels) == 11, training.kernels


def operators_pass_opcheck() -> None:
    operator = build(6, 3)
    streams = [draw(5, 6) for _ in "ab"]
    rest = (*operator.parameters(), 3, torch.float32, True, 0, True)
    mask = torch.tensor([True, False, True, True, False], device=DEVICE)
    for valid in (None, mask):
        checked = torch.library.opcheck(fused.fuse_gpu, (*streams, valid, *rest))
        assert set(checked.values()) == {"SUCCESS"}
    tape = fused.fuse_gpu(*streams, None, *rest)[2].detach()
    upstream = [draw(5, 6) for _ in "ab"]
    arguments = (*streams, None, tape, *upstream, *rest)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    checked = torch.library.opcheck(fused.fuse_gpu_backward, arguments, test_utils=tests)
    assert set(checked.values()) == {"SUCCESS"}
    assert unpack(rest)[1].num_heads == 3


def eager_calls_give_the_bits_of_the_operators() -> None:
    mask = torch.arange(9) > 2
    for dtype, with_recompute, valid in (
        (torch.float32, False, None),
        (torch.bfloat16, True, mask.to(DEVICE)),
    ):
        operator = build(24, 3, dtype, with_recompute=with_recompute)
        streams = [draw(9, 24, dtype=dtype) for _ in "ab"]
        inputs = [*streams, *operator.parameters()]
        ups = [draw(9, 24, dtype=dtype).detach(), None]
        results = []
        for watch in (contextlib.nullcontext(), Census()):
            with watch:
                both = operator(*streams, valid)
                results.append((*both, *torch.autograd.grad(both[0], inputs, ups[0])))
        assert results[0][0].grad_fn.name().startswith("_Eager")
        assert all(torch.equal(a, b) for a, b in zip(*results))


def eager_gradients_have_gradients_and_come_in_batches() -> None:
    operator, streams = build(16, 4), [draw(7, 16) for _ in "ab"]
    plain = GeminiFusion.from_released(operator.to_released(), 4, backend="plain")
    ups = [torch.randn(3, 7, 16, device=DEVICE) for _ in "ab"]
    second, batched = [], []
    for each in (operator, plain):
        both = each(*streams)
        first = torch.autograd.grad(both, streams, [u[0] for u in ups], create_graph=True)
        second.append(torch.autograd.grad(sum(g.square().sum() for g in first), streams))
        options = {"is_grads_batched": True, "materialize_grads": True}
        batched.append(torch.autograd.grad(each(*streams), streams, ups, **options))
    for found, wanted in (second, batched):
        assert max(error(f, w.double()) for f, w in zip(found, wanted)) < 1e-5


def compiler_sees_one_node_each_way() -> None:
    operator = build(80, 8)
    compiled = torch.compile(operator, backend="aot_eager", fullgraph=True)
    streams = [draw(13, 80) for _ in "ab"]
    inputs = [*streams, *operator.parameters()]
    results = []
    for call in (operator, compiled):
        fused_streams = call(*streams)
        loss = sum(f.square().sum() for f in fused_streams)
        results.append((*fused_streams, *torch.autograd.grad(loss, inputs)))
    assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)


def a_gpu_without_a_compiler_takes_another_form_with_one_warning() -> None:
    plain = triton_parts.launch

    def launch(*_, **__):
        raise RuntimeError("Failed to find C compiler.")

    fused._runs_on.cache_clear()
    triton_parts.launch = launch
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert not fused.runs_on(0, torch.float16) and not fused.runs_on(0, torch.float16)
    assert ["Failed to find C compiler" in str(w.message) for w in said] == [True]
    triton_parts.launch = plain
    fused._runs_on.cache_clear()
    assert fused.runs_on(0, torch.float16)
    assert fused_launches.is_narrow(64) and not fused_launches.is_narrow(65)
    assert not fused_launches.is_narrow(17, is_exact=True)  # which would spill registers


if __name__ == "__main__":
    if DEVICE == "cpu":
        from interpreter import mend_interpreter

        mend_interpreter()
    torch.manual_seed(0)
    for claim in sys.argv[1:]:
        globals()[claim]()
        print("passed", claim, DEVICE, flush=True)

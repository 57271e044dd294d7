"""Values and gradients of the Triton kernels against the definition in float64.

Run by test_triton.py in a process of its own: Triton reads TRITON_INTERPRET when imported.
"""

from __future__ import annotations

import copy

import torch
from torch.testing import assert_close
from triton_common import DEVICE, build, draw, error, run

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.kernels import fused_backward, fused_problem, tiles


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


def lazily_negated_tensors_keep_their_sign() -> None:
    def lazy(tensor):
        negated = torch.complex(torch.zeros_like(tensor), -tensor).detach().conj().imag
        assert negated.is_neg() and torch.equal(negated, tensor)
        return negated.requires_grad_(tensor.requires_grad)

    operator, streams = build(16, 4), [draw(7, 16) for _ in "ab"]
    other = copy.deepcopy(operator)
    for name in ("query_weight", "out_bias"):
        delattr(other, name)
        setattr(other, name, lazy(getattr(operator, name).detach()))
    ups, results = [torch.randn(7, 16, device=DEVICE) for _ in "ab"], []
    for each, make in ((operator, lambda tensor: tensor), (other, lazy)):
        given = [make(stream) for stream in streams]
        with torch.no_grad():
            alone = each(*given)
        found = each(*given)
        gradients = torch.autograd.grad(found, [*given, each.value_weight], [*map(make, ups)])
        results.append([*alone, *found, *gradients])
    assert all(torch.equal(*pair) for pair in zip(*results))


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


if __name__ == "__main__":
    run(globals())

"""Run by test_triton.py in a process of its own: Triton reads TRITON_INTERPRET when imported."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.testing import assert_close

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference import random_released  # noqa: E402

from gemini_det3d.fusion import GeminiFusion  # noqa: E402
from gemini_det3d.fusion.kernels import fused  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(DEVICE, dtype).requires_grad_()


def check_step(step, plain, tensors, rest=()) -> None:
    """Outputs and gradients of a kernel against its PyTorch form in float64."""
    exact = [t.detach().double().requires_grad_() for t in tensors]
    wanted, found = plain(*exact, *rest), step(*tensors, *rest)
    towards = torch.randn_like(wanted)
    expected = torch.autograd.grad(wanted, exact, towards)
    gradients = torch.autograd.grad(found, tensors, towards.to(found.dtype))
    half = found.dtype in (torch.float16, torch.bfloat16)
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if half else {"rtol": 1e-5, "atol": 1e-5}
    assert_close((found, *gradients), (wanted, *expected), check_dtype=False, **tolerance)


def relation_matches_softmax() -> None:
    for rows, channels in ((1, 1), (7, 5), (13, 64), (3, 320)):
        check_step(fused.relation, fused.plain_relation, [draw(rows, channels) for _ in range(2)])


def gate_matches_two_key_attention() -> None:
    for tokens, channels, heads in ((1, 4, 2), (7, 15, 5), (131, 64, 8), (19, 24, 1)):
        tensors = [draw(2, tokens, width) for width in (channels, channels, 2 * channels)]
        check_step(fused.gate, fused.plain_gate, tensors, (heads,))


def half_precision_computes_in_float32() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        check_step(fused.relation, fused.plain_relation, [draw(7, 24, dtype=dtype) for _ in "ab"])
        tensors = [draw(2, 7, width, dtype=dtype) for width in (24, 24, 48)]
        check_step(fused.gate, fused.plain_gate, tensors, (3,))
    large = [
        torch.full((2, 5, width), 1e4, dtype=torch.float16, device=DEVICE) for width in (8, 16)
    ]
    assert fused.gate(large[0], -large[0], large[1], 2).isfinite().all()


def empty_inputs_pass() -> None:
    assert fused.relation(draw(0, 5), draw(0, 5)).shape == (0, 5)
    assert fused.gate(draw(2, 0, 6), draw(2, 0, 6), draw(2, 0, 12), 3).shape == (2, 0, 6)


def operator_equals_the_plain_form() -> None:
    released = {name: t.float().to(DEVICE) for name, t in random_released(24).items()}
    plain, ours = (
        GeminiFusion.from_released(released, 3, backend=backend) for backend in ("plain", "fused")
    )
    valid = torch.rand(2, 11, device=DEVICE) > 0.3
    streams = [draw(2, 11, 24) for _ in range(2)]
    towards = [torch.randn(2, 11, 24, device=DEVICE) for _ in range(2)]
    for mask in (None, valid):
        results = []
        for operator in (plain, ours):
            out = operator(*streams, mask)
            inputs = [*streams, *operator.parameters()]
            results.append((*out, *torch.autograd.grad(out, inputs, towards)))
        assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


def half_precision_is_finite_and_close() -> None:
    operator = GeminiFusion(16, num_heads=4, linear_init="xavier_uniform").to(DEVICE)
    for dtype in (torch.float16, torch.bfloat16):
        low = GeminiFusion.from_released(operator.to_released(), 4, backend="fused").to(dtype)
        exact = GeminiFusion.from_released(low.to_released(), 4, backend="plain").double()
        unit = [draw(13, 16).detach().clamp(-1, 1) for _ in "ab"]
        assert all(f.isfinite().all() for f in low(*((1e4 * s).to(dtype) for s in unit)))
        streams = [stream.to(dtype) for stream in unit]
        plain = GeminiFusion.from_released(low.to_released(), 4, backend="plain")
        wanted = exact(*(stream.double() for stream in streams))
        errors = [
            sum((f.double() - w).square().sum() for f, w in zip(form(*streams), wanted))
            for form in (low, plain)
        ]
        assert errors[0] <= 1.5**2 * errors[1]


def autocast_lowers_the_products_alone() -> None:
    operator = GeminiFusion(16, num_heads=4, backend="fused").to(DEVICE)
    streams = [draw(13, 16) for _ in "ab"]
    wanted = operator(*streams)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        fused = operator(*streams)
    assert all(f.dtype == torch.float32 for f in fused)
    assert not torch.equal(fused[0], wanted[0])
    assert_close(fused, wanted, rtol=0.05, atol=0.05)
    sum(f.sum() for f in fused).backward()
    assert all(p.grad.dtype == torch.float32 for p in operator.parameters())


def nan_stays_in_its_token() -> None:
    operator = GeminiFusion(16, num_heads=4, backend="fused").to(DEVICE)
    first, second = draw(13, 16).detach(), draw(13, 16).detach()
    before = operator(first, second)
    second[5, 3] = float("nan")
    is_hit = torch.arange(13, device=DEVICE) == 5
    for old, new in zip(before, operator(first, second)):
        assert torch.equal(new.isnan().any(-1), is_hit)
        assert torch.equal(new[~is_hit], old[~is_hit])
    kept_first, _ = operator(first, second, ~is_hit)
    assert torch.equal(kept_first[is_hit], first[is_hit]) and kept_first.isfinite().all()


def operators_pass_opcheck() -> None:
    tensors = [draw(2, 5, width) for width in (6, 6, 12)]
    cases = [
        (fused.relation, (draw(5, 6), draw(5, 6))),
        (fused.relation_backward, (draw(5, 6), draw(5, 6), draw(5, 6))),
        (fused.gate, (*tensors, 3)),
        (fused.gate_backward, (draw(2, 5, 6), *tensors, 3)),
    ]
    for operator, arguments in cases:
        assert set(torch.library.opcheck(operator, arguments).values()) == {"SUCCESS"}


if __name__ == "__main__":
    torch.manual_seed(0)
    globals()[sys.argv[1]]()
    print("passed", sys.argv[1], DEVICE)

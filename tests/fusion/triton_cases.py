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

"""What scripts of the Triton kernels share: where they run, streams, operators, how they start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from reference import random_released  # noqa: E402

from gemini_det3d.fusion import GeminiFusion  # noqa: E402
from gemini_det3d.fusion.kernels import precision  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(DEVICE, dtype).requires_grad_()


def build(channels: int, heads: int, dtype=torch.float32, **options) -> GeminiFusion:
    released = {name: t.to(DEVICE, dtype) for name, t in random_released(channels).items()}
    return GeminiFusion.from_released(released, heads, backend="fused", **options)


def error(found, wanted) -> float:
    """Root mean square error in units of the root mean square value."""
    found, wanted = found.detach().double(), wanted.detach()
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-9))


def run(claims: dict[str, Callable[[], None]]) -> None:
    """Those that the command line names, on a GPU or by Triton's interpreter."""
    if DEVICE == "cpu":
        from interpreter import mend_interpreter

        mend_interpreter()
        precision._FAST_ON_CPU = precision.HALVES  # it stands for a GPU, whatever this CPU can do
    torch.manual_seed(0)
    for claim in sys.argv[1:]:
        claims[claim]()
        print("passed", claim, DEVICE, flush=True)

"""Accuracy against float64 over a thousand generated cases, beside the released form's."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference import random_released
from torch import Tensor
from torch.torch_version import TorchVersion

from benchmarks.fusion import ReleasedFusion
from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.kernels import precision
from gemini_det3d.fusion.kernels.blockwise import Setting, blockwise_forward
from gemini_det3d.fusion.kernels.torch_versions import CAN_TRACE, HAS_CUSTOM_OPERATORS

NUM_CASES = 1200
BOUNDS = {torch.float32: 1.0, torch.bfloat16: 1.5, torch.float16: 1.5}
if TorchVersion(torch.__version__) < (2, 2):
    del BOUNDS[torch.float16]  # no products on a CPU
SCALE = st.floats(-1, 1).map(lambda power: 10**power)
LAYOUTS = ("contiguous", "map", "every other channel", "one token for all")


class Case(NamedTuple):
    """Streams (B, N, C) and how they lie in memory."""

    seed: int
    batch: int
    tokens: int
    heads: int
    depth: int
    layout: str
    scales: tuple[float, float]
    dtype: torch.dtype

    def streams(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        channels = self.heads * self.depth

        def draw(scale: float) -> Tensor:
            shape = (self.batch, self.tokens, channels)
            if self.layout == "map":
                shape = (self.batch, channels, self.tokens)
            if self.layout == "every other channel":
                shape = (self.batch, self.tokens, 2 * channels)
            if self.layout == "one token for all":
                shape = (self.batch, 1, channels)
            tensor = (scale * torch.randn(shape, generator=generator)).to(self.dtype)
            if self.layout == "map":
                return tensor.transpose(1, 2)
            if self.layout == "every other channel":
                return tensor[..., ::2]
            return tensor.expand(self.batch, self.tokens, channels)

        return [draw(scale) for scale in self.scales]


CASES = st.builds(
    Case,
    seed=st.integers(0, 2**31 - 1),
    batch=st.integers(1, 3),
    tokens=st.integers(1, 40),
    heads=st.sampled_from((1, 2, 3, 4, 8)),
    depth=st.sampled_from((1, 2, 4, 5, 8)),
    layout=st.sampled_from(LAYOUTS),
    scales=st.tuples(SCALE, SCALE),
    dtype=st.sampled_from(tuple(BOUNDS)),
)


def measure_error(fused: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> float:
    """Root mean square error in units of the root mean square value."""
    wrong = sum((f.double() - e).square().sum() for f, e in zip(fused, exact))
    return float((wrong / sum(e.square().sum() for e in exact)).sqrt())


def measure_case(case: Case) -> dict[str, float]:
    """Errors of our forms in units of the released form's."""
    released = random_released(case.heads * case.depth, seed=case.seed, dtype=case.dtype)
    operator = GeminiFusion.from_released(released, case.heads, backend="plain")
    exact = GeminiFusion.from_released(released, case.heads, backend="plain").double()
    streams = case.streams()
    with torch.no_grad():
        wanted = exact(*(stream.double() for stream in streams))
        unit = measure_error(ReleasedFusion(operator)(*streams), wanted)
        return {
            name: measure_error(form(operator, streams), wanted) / unit
            for name, form in FORMS.items()
        }


def run_backend(backend: str):
    def run(operator: GeminiFusion, streams: list[Tensor]):
        operator.backend = backend
        return operator(*streams)

    return run


def run_lowered_products(operator: GeminiFusion, streams: list[Tensor]):
    """What runs on CPUs with tiles for half precision."""
    dtype = streams[0].dtype
    setting = Setting(operator.num_heads, dtype, is_paired=dtype != torch.float32)
    return blockwise_forward(*streams, None, operator.fusion_parameters(), setting, False)[:2]


FORMS = {
    "compact": run_backend("compact"),
    "traced": run_backend("traced"),
    "blockwise": run_backend("blockwise"),
    "products in the streams' dtype": run_lowered_products,
}


if not CAN_TRACE:
    del FORMS["traced"]
if not HAS_CUSTOM_OPERATORS:
    del FORMS["blockwise"]


def test_error_is_bounded_by_the_released_forms_over_a_thousand_cases():
    logs: dict[tuple[torch.dtype, str], list[float]] = {}

    @settings(
        max_examples=NUM_CASES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(CASES)
    def collect(case: Case) -> None:
        for name, ratio in measure_case(case).items():
            logs.setdefault((case.dtype, name), []).append(math.log(max(ratio, 1e-3)))

    collect()
    assert sum(map(len, logs.values())) >= 1000 * len(FORMS)
    for (dtype, name), values in logs.items():
        mean = math.exp(sum(values) / len(values))
        print(f"{dtype} {name}: error / released error: {mean:.3f} over {len(values)} cases")
        assert mean <= BOUNDS[dtype], (dtype, name)


def test_products_follow_autocast_but_for_double_streams(monkeypatch):
    monkeypatch.setattr(precision, "_FAST_ON_CPU", precision.HALVES)
    kinds = (torch.float64, torch.float32, torch.bfloat16)
    streams = [torch.zeros(1, dtype=kind) for kind in kinds]
    assert tuple(map(precision.product_dtype, streams)) == kinds
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = tuple(map(precision.product_dtype, streams))
    assert found == (torch.float64, torch.bfloat16, torch.bfloat16)

"""Accuracy against float64 over a thousand generated cases, beside the released form's."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import pytest
import torch
from reference import random_released
from torch import Tensor

from gemini_det3d.apis.fusion_bench import ReleasedFusion
from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.kernels.blockwise import Setting, blockwise_forward

NUM_CASES = 1000
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

    def streams(self, dtype: torch.dtype) -> list[Tensor]:
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
            tensor = (scale * torch.randn(shape, generator=generator)).to(dtype)
            if self.layout == "map":
                return tensor.transpose(1, 2)
            if self.layout == "every other channel":
                return tensor[..., ::2]
            return tensor.expand(self.batch, self.tokens, channels)

        return [draw(scale) for scale in self.scales]


def generate_cases(count: int) -> list[Case]:
    chance = random.Random(20240601)
    return [
        Case(
            seed=index,
            batch=chance.choice((1, 1, 2, 3)),
            tokens=chance.randint(1, 40),
            heads=chance.choice((1, 2, 3, 4, 8)),
            depth=chance.choice((1, 2, 4, 5, 8)),
            layout=chance.choice(LAYOUTS),
            scales=(10 ** chance.uniform(-1, 1), 10 ** chance.uniform(-1, 1)),
        )
        for index in range(count)
    ]


def measure_error(fused: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> float:
    """Root mean square error in units of the root mean square value."""
    wrong = sum((f.double() - e).square().sum() for f, e in zip(fused, exact))
    return float((wrong / sum(e.square().sum() for e in exact)).sqrt())


def measure_case(case: Case, dtype: torch.dtype, forms: dict) -> dict[str, float]:
    """Error of the released form and of ours."""
    channels = case.heads * case.depth
    released = random_released(channels, seed=case.seed, dtype=dtype)
    operator = GeminiFusion.from_released(released, case.heads, backend="plain")
    streams = case.streams(dtype)
    exact = GeminiFusion.from_released(released, case.heads, backend="plain").double()
    with torch.no_grad():
        wanted = exact(*(stream.double() for stream in streams))
        errors = {"released": measure_error(ReleasedFusion(operator)(*streams), wanted)}
        for name, form in forms.items():
            errors[name] = measure_error(form(operator, streams), wanted)
    return errors


def run_backend(backend: str):
    def run(operator: GeminiFusion, streams: list[Tensor]):
        operator.backend = backend
        return operator(*streams)

    return run


def run_half_products(operator: GeminiFusion, streams: list[Tensor]):
    setting = Setting(operator.num_heads, streams[0].dtype, is_paired=True)
    return blockwise_forward(*streams, None, operator.fusion_parameters(), setting, False)[:2]


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1.0), (torch.bfloat16, 1.5), (torch.float16, 1.5)]
)
def test_error_is_bounded_by_the_released_forms_over_a_thousand_cases(dtype, bound):
    forms = {backend: run_backend(backend) for backend in ("compact", "blockwise")}
    if dtype != torch.float32:
        forms["half products"] = run_half_products
    logs: dict[str, list[float]] = {name: [] for name in forms}
    for case in generate_cases(NUM_CASES):
        errors = measure_case(case, dtype, forms)
        for name in forms:
            logs[name].append(math.log(errors[name] / errors["released"]))
    for name, values in logs.items():
        mean, worst = math.exp(sum(values) / len(values)), math.exp(max(values))
        print(f"{dtype} {name}: error / released error: mean {mean:.3f}, worst {worst:.2f}")
        assert mean <= bound, name

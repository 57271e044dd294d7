"""Training of every toy in half precision beside float32, on one batch, from the same start."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPERS
from toys import DETECTORS, ROOMS, TOYS, toy_batch, toy_config, toy_model

FEW, MANY = 2, 50
HALVES = [torch.bfloat16, torch.float16]
# VoteNet's first losses jump with the last bit of a vote: which votes are sampled, and which
# proposal answers for which box, is decided by distances.
CONTINUOUS = [name for name in TOYS if name not in ROOMS]


def pairs(names: list[str] | tuple[str, ...]) -> list:
    """Names with both halves; float16 convolutions of detectors take a CPU seconds a step."""
    found = []
    for name in names:
        for dtype in HALVES:
            is_slow = dtype == torch.float16 and name in DETECTORS
            marks = [pytest.mark.slow] if is_slow else []
            label = f"{str(dtype).removeprefix('torch.')}-{name}"
            found.append(pytest.param(name, dtype, marks=marks, id=label))
    return found


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """mmengine's, whose forwards run under autocast on a CPU; its own for that needs a GPU."""

    dtype: torch.dtype | None = None

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        with super().optim_context(model):
            with torch.autocast("cpu", self.dtype, enabled=self.dtype is not None):
                yield


def losses(name: str, dtype: torch.dtype | None, steps: int) -> torch.Tensor:
    """(steps,) total losses of a toy on one batch; all parameters are finite after the last."""
    model, config = toy_model(name), toy_config(name)
    AutocastOptimWrapper.dtype = dtype
    wrapper = build_optim_wrapper(model, {**config.optim_wrapper, "type": "AutocastOptimWrapper"})
    batch = toy_batch(name)
    found = []
    for step in range(steps):
        torch.manual_seed(step)
        logs = model.train_step(copy.deepcopy(batch), wrapper)
        found.append(float(sum(v for k, v in logs.items() if "loss" in k and k != "loss")))
    assert all(p.isfinite().all() for p in model.parameters())
    return torch.tensor(found)


@cache
def in_float32(name: str, steps: int) -> torch.Tensor:
    return losses(name, None, steps)


@pytest.mark.parametrize(("name", "dtype"), pairs(CONTINUOUS))
def test_first_steps_in_half_precision_are_float32s(name, dtype):
    half = losses(name, dtype, FEW)
    torch.testing.assert_close(half, in_float32(name, FEW), rtol=0.05, atol=0)


@pytest.mark.parametrize(("name", "dtype"), pairs(ROOMS))
def test_first_steps_of_votes_in_half_precision_are_finite(name, dtype):
    assert losses(name, dtype, FEW).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), pairs(TOYS))
def test_fifty_steps_in_half_precision_learn_what_float32_does(name, dtype):
    """The mean of the last ten losses differs by at most a tenth of what was learned.

    Of votes, whose losses jump: by at most half.
    """
    half, full = losses(name, dtype, MANY), in_float32(name, MANY)
    assert half.isfinite().all()
    learned = full[0] - full[-10:].mean()
    assert learned > 0.05 * full[0]
    most = 0.1 if name in CONTINUOUS else 0.5
    assert (half[-10:].mean() - full[-10:].mean()).abs() <= most * learned

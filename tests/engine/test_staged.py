from __future__ import annotations

import pytest
import torch
from mmdet3d.registry import PARAM_SCHEDULERS
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import IterBasedTrainLoop

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.engine.staged import OptimizerRestartHook, staged_factor
from gemini_det3d.formats import FormatError

SHAPE = ((20, 20, 20), (1.0, 0.5, 0.25), 5, 1e-6, 15, 1.0)


def test_factor_rises_falls_stays_and_starts_anew():
    factors = [staged_factor(step, *SHAPE) for step in range(80)]
    assert factors[0] == pytest.approx(1e-6)
    assert factors[5] == pytest.approx(1 - 5 / 15)
    assert factors[14:20] == pytest.approx([1 / 15] * 6)
    assert factors[20:40] == pytest.approx([f / 2 for f in factors[:20]])
    assert factors[40:60] == pytest.approx([f / 4 for f in factors[:20]])
    assert factors[79] == pytest.approx(1 / 60)


def test_scheduler_from_epochs_follows_the_factor():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    scheduler = PARAM_SCHEDULERS.build(
        dict(type="StagedPolyLR", optimizer=optimizer, stage_lengths=(2, 2, 2), warmup=5, fall=15,
             by_epoch=True, convert_to_iter_based=True, epoch_length=10)
    )  # fmt: skip
    rates = []
    for _ in range(60):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([2 * staged_factor(step, *SHAPE) for step in range(60)])


@pytest.mark.parametrize(("begin", "end"), [(1, 10**9), (0, 2), (2, 5)])
def test_scheduler_from_epochs_begins_and_ends_at_epochs(begin, end):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = PARAM_SCHEDULERS.build(
        dict(type="StagedPolyLR", optimizer=optimizer, begin=begin, end=end, warmup=5, fall=15,
             by_epoch=True, convert_to_iter_based=True, epoch_length=10)
    )  # fmt: skip
    changes, before = [], None
    for step in range(70):
        rate = optimizer.param_groups[0]["lr"]
        if rate != before:
            changes.append(step)
        before = rate
        optimizer.step()
        scheduler.step()
    # at once or at the beginning; then up for 5 steps and down to the end of the fall
    steps = range(10 * begin, min(10 * begin + 15, 10 * end))
    assert changes == ([0] if begin else []) + list(steps)


def test_stages_have_their_default_lengths_in_epochs_as_in_iterations():
    options = dict(type="StagedPolyLR", optimizer=torch.optim.SGD([torch.zeros(1)], lr=2.0))
    counted = PARAM_SCHEDULERS.build(
        dict(options, by_epoch=True, convert_to_iter_based=True, epoch_length=7)
    )
    assert counted.shape[0] == tuple(7 * length for length in PARAM_SCHEDULERS.build(
        options).shape[0])  # fmt: skip


def test_restart_forgets_the_momenta():
    class Runner:
        epoch = 2

        class logger:
            info = staticmethod(lambda text: None)

        class optim_wrapper:
            pass

    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    Runner.optim_wrapper.optimizer = optimizer
    OptimizerRestartHook([1]).before_train_iter(Runner, 0)
    assert len(optimizer.state) == 1
    OptimizerRestartHook([2]).before_train_iter(Runner, 1)  # resumed within the epoch
    assert len(optimizer.state) == 1
    OptimizerRestartHook([2]).before_train_iter(Runner, 0)
    assert len(optimizer.state) == 0


def test_restart_forgets_the_momenta_of_all_optimizers():
    class Runner:
        epoch = 1

        class logger:
            info = staticmethod(lambda text: None)

        optim_wrapper = OptimWrapperDict(
            **{name: OptimWrapper(torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))]))
               for name in ("generator", "discriminator")}
        )  # fmt: skip

    for wrapper in Runner.optim_wrapper.values():
        wrapper.update_params(wrapper.optimizer.param_groups[0]["params"][0].sum())
        assert len(wrapper.optimizer.state) == 1
    OptimizerRestartHook([1]).before_train_iter(Runner, 0)
    assert not any(wrapper.optimizer.state for wrapper in Runner.optim_wrapper.values())


def test_restarts_at_epochs_are_refused_where_iterations_are_counted():
    class Runner:
        train_loop = object.__new__(IterBasedTrainLoop)

    with pytest.raises(FormatError, match=r"counts iterations, .* epochs=\(100, 200\) counts"):
        OptimizerRestartHook([100, 200]).before_train(Runner)


def test_lengths_and_factors_must_be_equally_many():
    with pytest.raises(ValueError, match="equally many"):
        PARAM_SCHEDULERS.build(dict(type="StagedPolyLR", optimizer=None, stage_lengths=(1, 2)))

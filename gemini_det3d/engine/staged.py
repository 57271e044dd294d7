"""The schedule of the released segmentors: stages that start anew, each with half the rate.

Within a stage the learning rate rises linearly over the first iterations and then falls as a
polynomial of the iterations; where the fall ends before the stage does the rate stays. Each stage
has a new optimiser there, that is, its momenta are forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet3d.registry import HOOKS, PARAM_SCHEDULERS
from mmengine.hooks import Hook
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler
from mmengine.runner import Runner

from gemini_det3d.engine.module_optimizers import wrappers_of
from gemini_det3d.engine.training_errors import refuse_iterations
from gemini_det3d.registration import register

STAGE_LENGTHS = (100, 100, 100)
"""As released."""


def staged_factor(
    step: int,
    stage_lengths: Sequence[int],
    stage_factors: Sequence[float],
    warmup: int,
    warmup_ratio: float,
    fall: int,
    power: float,
) -> float:
    """Factor of the learning rate.

    Args:
        step: Iterations done, from 0.
        stage_lengths: Iterations of each stage; the last one never ends.
        stage_factors: Factor of each stage.
        warmup: Iterations of the rise.
        warmup_ratio: Where the rise starts.
        fall: Iterations after which the fall, counted from the stage's start, would be at 0.
        power: Exponent of the fall.
    """
    stage = 0
    while stage < len(stage_lengths) - 1 and step >= stage_lengths[stage]:
        step -= stage_lengths[stage]
        stage += 1
    if step < warmup:
        return stage_factors[stage] * (1 - (1 - step / warmup) * (1 - warmup_ratio))
    return stage_factors[stage] * (1 - min(step, fall - 1) / fall) ** power


@register(PARAM_SCHEDULERS)
class StagedPolyLR(LRSchedulerMixin, _ParamScheduler):
    """Learning rate by `staged_factor`; for configs with ``convert_to_iter_based=True``.

    Args:
        optimizer: As in mmengine.
        stage_lengths: Epochs of each stage with ``convert_to_iter_based=True``, else iterations.
        stage_factors: Factor of each stage.
        warmup: See `staged_factor`.
        warmup_ratio: See `staged_factor`.
        fall: See `staged_factor`.
        power: See `staged_factor`.
        **kwargs: As mmengine's schedulers.

    Raises:
        ValueError: Lengths and factors are not equally many, or a length is below 1.
    """

    def __init__(
        self,
        optimizer: Any,
        stage_lengths: Sequence[int] = STAGE_LENGTHS,
        stage_factors: Sequence[float] = (1.0, 0.5, 0.25),
        warmup: int = 1500,
        warmup_ratio: float = 1e-6,
        fall: int = 40_000,
        power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if len(stage_lengths) != len(stage_factors) or min(stage_lengths, default=0) < 1:
            raise ValueError(
                f"StagedPolyLR: stage_lengths={stage_lengths} and stage_factors={stage_factors} "
                "must be equally many, lengths 1 or more"
            )
        self.shape = (tuple(stage_lengths), tuple(stage_factors), warmup, warmup_ratio, fall, power)
        super().__init__(optimizer, **kwargs)

    @classmethod
    def build_iter_from_epoch(
        cls,
        *args: Any,
        stage_lengths: Sequence[int] = STAGE_LENGTHS,
        epoch_length: int,
        begin: int = 0,
        end: int = INF,
        by_epoch: bool = True,
        **kwargs: Any,
    ) -> StagedPolyLR:
        """mmengine's way from epochs to iterations: of the stages, of ``begin`` and of ``end``.

        Raises:
            ValueError: The lengths are iterations already.
        """
        if not by_epoch:
            raise ValueError("StagedPolyLR: convert_to_iter_based=True needs by_epoch=True")
        lengths = [epoch_length * length for length in stage_lengths]
        kwargs["begin"] = int(begin * epoch_length)
        kwargs["end"] = end if end == INF else int(end * epoch_length)
        return cls(*args, stage_lengths=lengths, by_epoch=False, **kwargs)

    def _get_value(self) -> list[float]:
        factor = staged_factor(self.last_step, *self.shape)
        return [base * factor for base in self.base_values]


@register(HOOKS)
class OptimizerRestartHook(Hook):
    """Forget the optimiser's momenta at the start of some epochs.

    Args:
        epochs: Which, counted from 0.
    """

    def __init__(self, epochs: Sequence[int]) -> None:
        self.epochs = tuple(epochs)

    def before_train(self, runner: Runner) -> None:
        """Refuse a training that does not count epochs: it would never start anew.

        Raises:
            FormatError: It counts iterations.
        """
        refuse_iterations(runner, f"OptimizerRestartHook: epochs={self.epochs}")

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object | None = None
    ) -> None:
        """Forget, if such an epoch begins; not when one is resumed in the middle."""
        if batch_idx == 0 and runner.epoch in self.epochs:
            for _, wrapper in wrappers_of(runner.optim_wrapper):
                wrapper.optimizer.state.clear()
            runner.logger.info(f"epoch {runner.epoch + 1}: the optimiser starts anew")

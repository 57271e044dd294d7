"""mmengine's two training loops, able to begin in the middle.

What differs: the first batches of an interrupted epoch are left out without being loaded, every
step sets the random generators from its number, and a validation that was due when the process
died is done first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.utils import calc_dynamic_intervals
from torch import nn

from gemini_det3d.engine.config_types import class_of, type_name
from gemini_det3d.engine.exact.batches import ExactBatchSampler
from gemini_det3d.engine.training_errors import naming_dead_workers
from gemini_det3d.registration import register

VALIDATED = "validated_at"
"""In mmengine's message hub: epoch or iteration of the last validation, so checkpoints hold it."""


class _BeginsAnywhere:
    """What both loops share. Attributes are mmengine's, but for `epoch_begin`."""

    epoch_begin = 0  # iterations that were done when the current epoch began

    @property
    def batches(self) -> ExactBatchSampler:
        """What the data loader draws from."""
        return self.dataloader.batch_sampler

    def _validate_if_due(self, done: int, last: int) -> None:
        """Validate after so many epochs or iterations, unless a checkpoint says that it was.

        At the end always: a training shorter than ``val_begin`` has its figures, too.
        """
        is_due = done >= self.val_begin and done % self.val_interval == 0
        if self.runner.val_loop is None or done == 0 or not (is_due or done == last):
            return
        hub = self.runner.message_hub
        if hub.runtime_info.get(VALIDATED) != done:
            hub.update_info(VALIDATED, done)
            with naming_dead_workers("val_dataloader"):
                self.runner.val_loop.run()


@register(LOOPS)
class ExactEpochLoop(_BeginsAnywhere, EpochBasedTrainLoop):
    """``EpochBasedTrainLoop`` for `ExactRunner`, which puts it in that one's place."""

    @property
    def pass_number(self) -> int:
        """Which time, from 0, the data are being seen."""
        return self._epoch

    def run(self) -> nn.Module:
        """Train."""
        self.runner.call_hook("before_train")
        if self._iter == self.epoch_begin:
            self._decide_current_val_interval()
            self._validate_if_due(self._epoch, self._max_epochs)
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            self._validate_if_due(self._epoch, self._max_epochs)
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Train for an epoch, or what is left of it."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        first = self._iter - self.epoch_begin
        self.batches.set_epoch(self._epoch)
        self.batches.first = first
        with naming_dead_workers("train_dataloader"):
            for index, batch in enumerate(self.dataloader, start=first):
                self.run_iter(index, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self.epoch_begin = self._iter


@register(LOOPS)
class ExactIterLoop(_BeginsAnywhere, IterBasedTrainLoop):
    """``IterBasedTrainLoop`` for `ExactRunner`, which puts it in that one's place."""

    def __init__(
        self,
        runner: Any,
        dataloader: Any,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        # Not the super class's: it starts loading, from the beginning.
        BaseLoop.__init__(self, runner, dataloader)
        self._max_iters, self._max_epochs = int(max_iters), 1
        self._iter = self._epoch = 0
        self.val_begin, self.val_interval = val_begin, val_interval
        self.stop_training = False
        self.runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, "metainfo", None)
        intervals = calc_dynamic_intervals(val_interval, dynamic_intervals)
        self.dynamic_milestones, self.dynamic_intervals = intervals

    @property
    def pass_number(self) -> int:
        """Which time, from 0, the data are being seen."""
        return self._iter // max(self.batches.length_of_pass, 1)

    def run(self) -> nn.Module:
        """Train."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self._validate_if_due_now()
        batches = self._endless_batches()
        with naming_dead_workers("train_dataloader"):
            while self._iter < self._max_iters and not self.stop_training:
                self.runner.model.train()
                self.run_iter(next(batches))
                self._validate_if_due_now()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _validate_if_due_now(self) -> None:
        self._decide_current_val_interval()
        self._validate_if_due(self._iter, self._max_iters)

    def _endless_batches(self) -> Iterator[Any]:
        """Batches from the present iteration on, epoch after epoch."""
        batches = self.batches
        length = None if batches.is_infinite else len(self.dataloader)
        if length == 0:
            raise ValueError("train_dataloader has no batch: fewer samples than batch_size?")
        epoch, batches.first = divmod(self._iter, length) if length else (0, self._iter)
        while True:
            batches.set_epoch(epoch)
            yield from self.dataloader
            epoch += 1
            print_log(f"pass {epoch + 1} through the data", "current", logging.DEBUG)


# mmengine's loops and ours for them.
_OURS: dict[type, type] = {
    EpochBasedTrainLoop: ExactEpochLoop,
    IterBasedTrainLoop: ExactIterLoop,
}


def with_exact_loop(config: Mapping[str, Any]) -> dict[str, Any]:
    """A training loop's config, as mmengine's runner takes it, with our loop for mmengine's.

    Raises:
        ValueError: It names another loop.
    """
    loop = dict(config)
    if "type" not in loop:
        by_epoch = loop.pop("by_epoch")
        loop["type"] = EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop
    kind = class_of(loop["type"], LOOPS)
    if kind not in (*_OURS, *_OURS.values()):
        names = [each.__name__ for each in _OURS]
        raise ValueError(f"train_cfg.type: {type_name(loop)} is not one of {names}, which are "
                         "those that ExactRunner can resume")  # fmt: skip
    return {**loop, "type": _OURS.get(kind, kind)}

"""A training whose samples hold nothing to learn from stops soon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.segmentation import IGNORED

_BATCHES = 50


class SomethingToLearnHook(Hook):
    """Looks for a label and for a point in the first batches; `ExactRunner` adds it to every run.

    Classes that are spelt otherwise than in the labels, a range that no point or box lies in, and
    label maps of another numbering all train without an error, on background alone.

    Args:
        batches: So many are looked at, or those of the first epoch; none once both are found.
    """

    def __init__(self, batches: int = _BATCHES) -> None:
        self.batches = batches
        self._seen, self._missing = 0, {"label", "point"}
        self._classes: set[int] = set()

    def memory(self) -> dict[str, Any]:
        """What was seen so far, for a checkpoint."""
        return {"seen": self._seen, "missing": sorted(self._missing),
                "classes": sorted(self._classes)}  # fmt: skip

    def remember(self, memory: dict[str, Any]) -> None:
        """Go on where another process was."""
        self._seen = memory["seen"]
        self._missing, self._classes = set(memory["missing"]), set(memory["classes"])

    def before_train(self, runner: Runner) -> None:
        """The first batches of a run that goes on are over, if its checkpoint does not tell."""
        if runner.iter and not self._seen:
            self._missing.clear()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Look at a batch.

        Args:
            runner: Unused.
            batch_idx: Unused.
            data_batch: ``inputs`` and ``data_samples`` as they come from the data loader.

        Raises:
            FormatError: It is the last one to look at, and none had a label, or none a point, or
                label maps hold one class alone.
        """
        if not self._missing or self._seen >= self.batches:
            return
        self._seen += 1
        batch = data_batch if isinstance(data_batch, dict) else {}
        inputs = batch.get("inputs")
        clouds = inputs.get("points") if isinstance(inputs, dict) else None
        if clouds is None or any(len(cloud) for cloud in clouds):
            self._missing.discard("point")
        if self._has_label(batch.get("data_samples") or ()):
            self._missing.discard("label")
        if self._seen == self.batches:
            self._judge()

    def after_train_epoch(self, runner: Runner) -> None:
        """Judge a first epoch of few batches.

        Raises:
            FormatError: None had a label, or none a point.
        """
        if self._missing and 0 < self._seen < self.batches:
            self._judge()

    def _judge(self) -> None:
        count, self._seen = self._seen, self.batches
        if "point" in self._missing:
            fault = "have no point in their clouds: does point_cloud_range fit them?"
        elif self._classes:
            fault = (
                f"have labels of class {self._classes.pop()} alone; in masks of 0 and {IGNORED} "
                f"the second is ignored: write it as 1"
            )
        elif self._missing:
            fault = "have no label: do classes (metainfo), ranges and numbering fit the files?"
        else:
            return
        raise FormatError("train_dataloader", f"the first {count} batches {fault}")

    def _has_label(self, samples: Sequence[Any]) -> bool:
        """Whether there is an object, or a second class of pixels, or the task has neither."""
        boxes = [s.gt_instances_3d for s in samples if "gt_instances_3d" in s]
        maps = [s.gt_sem_seg.data for s in samples if "gt_sem_seg" in s]
        for labels in maps:
            self._classes |= set(labels.unique().tolist()) - {IGNORED}
        if len(self._classes) > 1 or any(len(each.labels_3d) for each in boxes):
            self._classes.clear()
            return True
        return not boxes and not maps

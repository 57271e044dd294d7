"""What happens to a sample whose file cannot be read, while a training runs.

``on_bad_sample = "stop"`` in a config, the default: one line that names the file, and the training
stops. ``"skip"``: another sample takes its place, chosen by the bad one's own random numbers, so
every process still gets a full batch and a resumed run makes the same choice. Bad samples are
counted, listed in ``bad_samples.json`` of the run's folder, and when there are more than
``max_bad_samples`` of them the training stops.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from gemini_det3d.engine.config_errors import PIPELINE, step_fault
from gemini_det3d.engine.exact.seeding import SAMPLE, SampleKey, seed_process
from gemini_det3d.engine.training_errors import TrainingError
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.text import write_json
from gemini_det3d.registration import register

CHOICES = ("stop", "skip")
DEFAULT_LIMIT = 10
_TRIES = 8  # replacements that are looked at before a data set is called unreadable
# mmengine's words where every sample of a data set was left out for having no object.
_NOTHING_FOUND = "Cannot find valid image after"
_NOTES = "bad_samples.jsonl"  # where data workers, of all processes, leave word
_REPORT = "bad_samples.json"


def read_sample(dataset: Any, key: SampleKey, notes: str | None) -> Any:
    """A sample by its key.

    Args:
        dataset: Takes indices.
        key: Which.
        notes: File that is told of a bad one, which another one then stands for; None: a bad one
            is an error.

    Raises:
        FormatError: It is bad and not to be replaced, or so are all that could replace it; none
            has an object; or a step of the pipeline does not fit the steps before.
    """
    index = key.index
    for attempt in range(_TRIES + 1):
        seed_process(key.seed, SAMPLE, key.epoch, index)
        try:
            return dataset[index]
        except (OSError, EOFError) as error:
            bad = _named(error)
        except FormatError as error:
            bad = error
        except Exception as error:
            bad = _misfit(error)
        if notes is None:
            raise bad from None
        _tell(notes, index, bad)
        draw = np.random.default_rng((key.seed, SAMPLE, key.epoch, key.index, attempt))
        index = int(draw.integers(len(dataset)))
    raise FormatError(bad.path, f"{bad.fault}; {_TRIES} other samples in its place are bad, too")


def _misfit(error: Exception) -> FormatError:
    """A file that a loader of somebody else's fails at; what is no file's fault is raised."""
    misfit = step_fault(error)
    if misfit is not None:
        if misfit.path == PIPELINE:
            raise misfit from error
        return misfit
    if _NOTHING_FOUND not in str(error):
        raise error
    fault = "no sample that was tried has an object of the classes in point_cloud_range"
    raise FormatError("train_dataloader", f"{fault} (metainfo.classes)") from None


def _named(error: OSError | EOFError) -> FormatError:
    path = getattr(error, "filename", None) or "a file of the data set"
    return FormatError(path, f"cannot be read ({getattr(error, 'strerror', None) or error})")


def _tell(notes: str, index: int, bad: FormatError) -> None:
    line = json.dumps({"index": index, "file": bad.path, "fault": bad.fault}) + "\n"
    handle = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())  # one call: lines of several processes do not mix
    finally:
        os.close(handle)


def notes_path(work_dir: str | os.PathLike) -> Path:
    """Where the data workers of a run leave word."""
    return Path(work_dir) / _NOTES


@register(HOOKS)
class BadSampleHook(Hook):
    """Counts what was skipped, reports it, and stops a run with too many; added by `ExactRunner`.

    Args:
        limit: So many different bad samples are borne.
    """

    priority = "VERY_HIGH"

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit, self._size, self._bad = limit, 0, Counter()

    def before_train(self, runner: Runner) -> None:
        """A run that begins anew has skipped nothing yet."""
        if runner.iter == 0 and is_main_process():
            notes_path(runner.work_dir).unlink(missing_ok=True)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Count; all processes stop in the same step.

        Raises:
            TrainingError: There are more than the limit.
        """
        self._read(notes_path(runner.work_dir))
        count = torch.tensor(len(self._bad))
        all_reduce(count, "max")
        if count > self.limit:
            self._report(runner)
            last = next(reversed(self._bad), ("another process's", ""))
            raise TrainingError(f"{int(count)} bad samples, more than max_bad_samples="
                                f"{self.limit}; the last: {last[0]}: {last[1]}; all of them: "
                                f"{Path(runner.work_dir) / _REPORT}")  # fmt: skip

    def after_train(self, runner: Runner) -> None:
        """Report."""
        self._read(notes_path(runner.work_dir))
        self._report(runner)
        if self._bad:
            runner.logger.warning(f"{len(self._bad)} bad samples were skipped: "
                                  f"{Path(runner.work_dir) / _REPORT}")  # fmt: skip

    def _read(self, notes: Path) -> None:
        """Take in what is new."""
        try:
            if notes.stat().st_size == self._size:
                return
            lines = notes.read_bytes()
        except FileNotFoundError:
            return
        self._size = len(lines)
        entries = [json.loads(line) for line in lines.splitlines()]
        self._bad = Counter((entry["file"], entry["fault"]) for entry in entries)

    def _report(self, runner: Runner) -> None:
        if is_main_process():
            entries = [dict(file=f, fault=why, times=n) for (f, why), n in self._bad.items()]
            report = {"bad_samples": len(entries), "samples": entries}
            write_json(Path(runner.work_dir) / _REPORT, report)


def bad_sample_policy(option: Callable[[str, Any], Any]) -> int | None:
    """How many bad samples a run bears.

    Returns:
        The number; None: the first one stops it.

    Raises:
        ValueError: ``on_bad_sample`` or ``max_bad_samples`` is neither.
    """
    choice, limit = option("on_bad_sample", "stop"), option("max_bad_samples", DEFAULT_LIMIT)
    if choice not in CHOICES:
        raise ValueError(f"on_bad_sample={choice!r}, expected one of {CHOICES}")
    if not isinstance(limit, int) or limit < 0:
        raise ValueError(f"max_bad_samples={limit!r} must be a whole number, 0 or more")
    return limit if choice == "skip" else None

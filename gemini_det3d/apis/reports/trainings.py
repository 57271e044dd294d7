"""Trainings below a folder, as mmengine left them: logs, metrics of the last test, config."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gemini_det3d.apis.comparison.scores import headline
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.reports.config_text import read_dumped_config
from gemini_det3d.apis.scalars import Line, Scalars, join_scalars, read_scalars
from gemini_det3d.apis.work_dir import last_metrics
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.text import read_bytes

_SEED = re.compile(r"seed[_-]?\d+")
_ENVIRONMENT = re.compile(r"^ {4}([\w .,]+): (.+)$", re.MULTILINE)
_ROOMS = re.compile(r"mAP_[\d.]+$")
_LOG_BYTES = 100_000  # of its beginning: mmengine describes the machine there
_MOST_SHOWN = 6
_NO_METRICS = ("data_time", "time", "step")


@dataclass(frozen=True)
class Training:
    """One work directory of mmengine.

    Attributes:
        name: Where it lies below the folder that was searched.
        folder: The work directory.
        scalars: What it logged.
        test: Metrics of the last test; empty without one.
        config: As dumped; empty where there is none.
        environment: What mmengine's log says of machine, versions and seed.
        notes: What could not be read.
    """

    name: str
    folder: Path
    scalars: Scalars
    test: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def group(self) -> str:
        """Its name without the seed; may be empty."""
        return "/".join(p for p in self.name.split("/") if not _SEED.fullmatch(p))

    @cached_property
    def length(self) -> tuple[int, int | None]:
        """Epochs (or iterations) that are done, and how many there shall be.

        The epoch of the last line logged is under way, unless it was saved or evaluated.
        """
        settings = self.config.get("train_cfg") or {}
        by_epoch = self.scalars.by_epoch
        limit = settings.get("max_epochs" if by_epoch else "max_iters")
        done = max(self._logged - by_epoch, self._saved, self._evaluated)
        return done, limit if isinstance(limit, int) else None

    @cached_property
    def is_over(self) -> bool:
        """Whether all epochs are done, and evaluated where the config wants that."""
        done, limit = self.length
        if limit is None or done < limit:
            return False
        begin = (self.config.get("train_cfg") or {}).get("val_begin")
        begin = begin if isinstance(begin, int) else 1
        is_tested = self.config.get("val_dataloader") is not None and begin <= limit
        return not is_tested or self._evaluated >= limit

    @property
    def _logged(self) -> int:
        key = "epoch" if self.scalars.by_epoch else "step"
        return int(self.scalars.train[-1].get(key, 0)) if self.scalars.train else 0

    @property
    def _evaluated(self) -> int:
        return int(self.scalars.val[-1].get("step", 0)) if self.scalars.val else 0

    @property
    def _saved(self) -> int:
        """Of the newest checkpoint; 0 where its number is beyond what this training logged."""
        try:
            text = (self.folder / "last_checkpoint").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return 0
        kind, beyond = "epoch", 0
        if not self.scalars.by_epoch:  # not every iteration is logged
            steps = [line.get("step", 0.0) for line in self.scalars.train[-2:]]
            kind, beyond = "iter", steps[-1] - steps[0] if steps[1:] else math.inf
        found = re.search(rf"{kind}_(\d+)\.pth\s*$", text)
        number = int(found[1]) if found else 0
        return number if number <= self._logged + beyond else 0

    @cached_property
    def samples_per_step(self) -> int | None:
        """Of all devices together; None where the config does not say."""
        batch = (self.config.get("train_dataloader") or {}).get("batch_size")
        devices = self.environment.get("GPU number", "1")
        known = isinstance(batch, int) and devices.isdigit()
        return batch * int(devices) if known else None


def find_trainings(root: Path) -> list[Training]:
    """Every training below a folder, and in it.

    Args:
        root: A work directory, or a folder of such.

    Returns:
        Sorted by name; a test beside its training (``train``, ``test``) belongs to it.

    Raises:
        FormatError: A log cannot be read.
    """
    stamps: dict[Path, list[Path]] = {}
    for inner in root.rglob("vis_data"):
        stamps.setdefault(inner.parents[1], []).append(inner.parent)
    folders = [
        folder for folder in stamps
        if not (folder.name == "test" and folder.with_name("train") in stamps)
    ]  # fmt: skip
    found = []
    for folder in folders:
        tests = stamps.get(folder.with_name("test"), []) if folder.name == "train" else []
        found.append(_read(root, folder, sorted(stamps[folder]), sorted(tests)))
    return sorted(found, key=lambda training: training.name)


def _read(root: Path, folder: Path, stamps: Sequence[Path], tests: Sequence[Path]) -> Training:
    files = [path for stamp in stamps if (path := stamp / "vis_data" / "scalars.json").is_file()]
    scalars = join_scalars(map(read_scalars, files))
    notes = [f"{scalars.broken} lines of its logs are no JSON and left out"] * bool(scalars.broken)
    # the last that trained tells of the training, whatever was tested afterwards
    trained = [path.parents[1] for path in files if read_scalars(path).train]
    told = trained[-1] if trained else stamps[-1]
    config: dict[str, Any] = {}
    try:
        if (told / "vis_data" / "config.py").is_file():
            config = read_dumped_config(told / "vis_data" / "config.py")
    except FormatError as error:
        notes.append(str(error))
    name = folder.relative_to(root).as_posix().removesuffix("train").rstrip("/")
    return Training(
        name="" if name == "." else name,
        folder=folder,
        scalars=scalars,
        test=metrics_of(last_metrics([*stamps, *tests])),
        config=config,
        environment=_environment(told),
        notes=notes,
    )


def _environment(stamp: Path) -> dict[str, str]:
    path = stamp / f"{stamp.name}.log"
    if not path.is_file():
        return {}
    text = read_bytes(path)[:_LOG_BYTES].decode("utf-8", errors="replace")
    return dict(_ENVIRONMENT.findall(text.split("INFO - Config:")[0]))


def metrics_of(line: Line) -> dict[str, float]:
    """Its metrics without times and steps."""
    return {key: value for key, value in line.items() if key not in _NO_METRICS}


def main_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Those that are shown first: rooms' mAP at its overlaps, what makes the score, or a few."""
    rooms = {key: value for key, value in metrics.items() if _ROOMS.search(key)}
    return rooms or scored_metrics(metrics) or dict(list(metrics.items())[:_MOST_SHOWN])


def scored_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """What `compare` takes as the score; nothing where there is none.

    A mean over other metrics would say nothing.
    """
    try:
        return headline(metrics)
    except ConfigError:
        return {}

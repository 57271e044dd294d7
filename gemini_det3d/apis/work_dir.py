"""What mmengine leaves in a work directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.scalars import Line, join_scalars, read_scalars
from gemini_det3d.formats.text import read_text


def last_checkpoint(train_dir: Path) -> Path:
    """The newest one of a training.

    Raises:
        ConfigError: There is none.
    """
    record = train_dir / "last_checkpoint"
    if not record.is_file():
        raise ConfigError(f"{train_dir}: the training left no checkpoint")
    return find_checkpoint(train_dir, record.read_text(encoding="utf-8").strip())


def find_checkpoint(train_dir: Path, written: str) -> Path:
    """A checkpoint that a record names; the one in the folder, which may have been moved or copied.

    Args:
        train_dir: mmengine's work directory.
        written: Where the checkpoint was when the record was written.

    Raises:
        ConfigError: It has gone.
    """
    there = Path(written)
    checkpoint = next((p for p in (train_dir / there.name, there) if p.is_file()), None)
    if checkpoint is None:
        raise ConfigError(f"{train_dir}: {there.name} has gone")
    return checkpoint


def read_metrics(test_dir: Path) -> dict[str, float]:
    """What mmengine's logger wrote about the latest test.

    Raises:
        ConfigError: There was none.
    """
    metrics = last_metrics(sorted(path for path in test_dir.glob("*") if path.is_dir()))
    if not metrics:
        raise ConfigError(f"{test_dir}: the test wrote no metrics")
    return metrics


def last_metrics(runs: Sequence[Path]) -> dict[str, float]:
    """Numbers of the last test among runs, each a folder ``<time>`` that may hold ``<time>.json``.

    Nothing where no run has such a file; one that is being written counts as none.
    """
    for run in reversed(runs):
        path = run / f"{run.name}.json"
        try:
            text = read_text(path).strip() if path.is_file() else "null"
            content = json.loads(text.splitlines()[-1] if "\n{" in text else text)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            return {k: float(v) for k, v in content.items() if type(v) in (int, float)}
    return {}


def read_losses(train_dir: Path) -> dict[str, list[float | None]]:
    """Every loss of a training, the mean of what was logged in each epoch; None where nothing was.

    Args:
        train_dir: mmengine's work directory; what a later start trained again counts once.
    """
    logs = sorted(train_dir.glob("*/vis_data/scalars.json"), key=lambda path: path.parts[-3])
    by_epoch: dict[int, list[Line]] = {}
    for line in join_scalars(map(read_scalars, logs)).train:
        if "loss" in line and "epoch" in line:
            by_epoch.setdefault(int(line["epoch"]), []).append(line)
    names = dict.fromkeys(k for e in by_epoch.values() for line in e for k in line if "loss" in k)
    return {
        name: [_mean([line[name] for line in by_epoch.get(epoch, ()) if name in line])
               for epoch in range(1, max(by_epoch) + 1)]
        for name in names
    }  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

"""What a comparison left on the disk: its finished runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.work_dir import find_checkpoint
from gemini_det3d.formats.text import read_json

_SEED = re.compile(r"seed(\d+)$")


@dataclass(frozen=True)
class FinishedRun:
    """One training of a comparison.

    Attributes:
        variant: Its row.
        seed: Of the training.
        config: As mmengine dumped it, with all changes.
        checkpoint: What was tested.
    """

    variant: str
    seed: int
    config: Path
    checkpoint: Path


def finished_runs(folder: Path | str) -> list[FinishedRun]:
    """Those below the ``--out`` of ``compare``, variants in the order of its table.

    Args:
        folder: It may have been moved, and other runs in it may still go on.

    Raises:
        ConfigError: There is none, or a file of one has gone.
        FormatError: A record cannot be read.
    """
    folder = Path(folder)
    found = []
    for record in folder.glob("runs/*/seed*/result.json"):
        number = _SEED.match(record.parent.name)
        if number:
            variant, seed = record.parents[1].name, int(number[1])
            found.append(FinishedRun(variant, seed, *_files(record)))
    if not found:
        raise ConfigError(f"--runs {folder}: has no finished run (runs/VARIANT/seedN/result.json)")
    order = _order(folder / "table.json")
    names = [run.variant for run in found]
    ranks = {name: order.index(name) if name in order else len(order) for name in names}
    return sorted(found, key=lambda run: (ranks[run.variant], run.variant, run.seed))


def _files(record: Path) -> tuple[Path, Path]:
    """Config and checkpoint."""
    train = record.with_name("train")
    configs = sorted(train.glob("*.py"))
    if len(configs) != 1:
        raise ConfigError(f"{train}: holds {len(configs)} configs (*.py), not one")
    content = read_json(record)
    written = content.get("checkpoint") if isinstance(content, dict) else None
    if not isinstance(written, str):
        raise ConfigError(f"{record}: names no checkpoint")
    return configs[0], find_checkpoint(train, written)


def _order(table: Path) -> Sequence[str]:
    """Names of the rows; none where the comparison has no table yet."""
    content = read_json(table) if table.is_file() else {}
    rows = content.get("rows") if isinstance(content, dict) else None
    return [row.get("name") for row in rows or () if isinstance(row, dict)]

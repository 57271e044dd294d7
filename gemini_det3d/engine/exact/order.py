"""The order of the samples, as a file that can be read, compared and kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mmengine.dist import get_rank

from gemini_det3d.engine.exact.batches import ExactBatchSampler
from gemini_det3d.formats.files import write_whole


def order_path(work_dir: str | os.PathLike, number: int, rank: int = 0) -> Path:
    """Where the order of a pass through the data is stored.

    Args:
        work_dir: Folder of the run.
        number: Which pass, from 0; an epoch, if the training counts them.
        rank: Which process.
    """
    return Path(work_dir) / "sample_order" / f"pass_{number:04d}_rank_{rank}.txt"


def store_order(
    work_dir: str | os.PathLike,
    batches: ExactBatchSampler,
    number: int,
    report: Callable[[str], object],
) -> None:
    """Write a pass's order: a line for each batch, the indices of its samples.

    Args:
        work_dir: Folder of the run.
        batches: Whose order.
        number: Which pass, from 0.
        report: Told in one line if another order is stored there already: the run that is gone on
            with had other data, another seed, batch size or number of processes.
    """
    lines = [" ".join(map(str, batch)) for batch in batches.preview(number)]
    path, text = order_path(work_dir, number, get_rank()), "\n".join(lines) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        report(f"{path}: the samples come in another order than this file says; it is replaced")
    if lines:
        write_whole(path, text)

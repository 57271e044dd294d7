"""Making many frames by several processes, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.text import write_text

_RECORD = "scenes.json"
Job = TypeVar("Job")


@dataclass(frozen=True)
class Made:
    """What a run did.

    Attributes:
        folder: Root of the data set.
        num_made: Frames written by this run.
        num_kept: Frames that were there already.
    """

    folder: Path
    num_made: int
    num_kept: int


def run_jobs(jobs: Sequence[Job], make: Callable[[Job], None], workers: int, title: str) -> None:
    """Make what is missing, with a progress display.

    Args:
        jobs: One frame each.
        make: Makes one; a function of a module, so that other processes find it.
        workers: Processes; 1 makes the frames in this one.
        title: What the display says.
    """
    if not jobs:
        return
    progress = tqdm(total=len(jobs), desc=title, unit="frame")
    with progress:
        if workers == 1 or len(jobs) == 1:
            for job in jobs:
                make(job)
                progress.update()
            return
        # Fresh processes: a fork would copy this one's threads' locks. They share the compiled
        # kernels through numba's cache, which the first frame fills before they start.
        make(jobs[0])
        progress.update()
        with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs) - 1)) as pool:
            for _ in pool.imap_unordered(make, jobs[1:], chunksize=4):
                progress.update()


def record_parameters(folder: Path, parameters: dict, holds: str) -> None:
    """Write down what decides the files, or compare with what a former run wrote down.

    Args:
        folder: Root of the data set.
        parameters: Everything that decides the files, as plain values.
        holds: Subfolder that the frames go to; one without a record is not touched.

    Raises:
        FormatError: The folder was made with other parameters; the message names them.
    """
    path = folder / _RECORD
    # Through JSON and back: tuples become lists on both sides of the comparison.
    parameters = json.loads(json.dumps(parameters))
    if not path.exists():
        if (folder / holds).exists():
            raise FormatError(folder, f"holds a {holds} folder but no {_RECORD}; not overwritten")
        write_text(path, json.dumps(parameters, indent=2) + "\n")
        return
    try:
        former = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(path, f"cannot be read ({error})") from error
    differences = list(_differences(former, parameters))
    if differences:
        raise FormatError(path, "was made with " + ", ".join(differences) + "; use another folder")


def _differences(former: object, wanted: object, name: str = "") -> Iterator[str]:
    """``name=old (asked for new)`` of every value that differs."""
    if isinstance(former, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*former, *wanted]):
            inner = f"{name}.{key}" if name else str(key)
            yield from _differences(former.get(key), wanted.get(key), inner)
    elif former is None and wanted is False:
        return  # a switch that an older record does not know of was off
    elif former != wanted:
        yield f"{name}={former} (asked for {wanted})"

"""Writing a whole data set by several processes; an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.text import read_json, write_json, write_text

_RECORD = "scenes.json"


@dataclass(frozen=True)
class Job:
    """One frame to make: where it goes and what decides it; made anew in every process.

    Attributes:
        folder: Root of the data set.
        world: What the frame is drawn from.
        seed: Of the set.
        split: Name of its split.
        index: In its split, from 0.
        number: In the set; those of validation follow those of training.
    """

    folder: Path
    world: Any
    seed: int
    split: str
    index: int
    number: int


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk; its functions are a module's, so that other processes find them.

    Attributes:
        title: For the progress display.
        files: The files of a job, by what they hold.
        draw: Makes what they hold.
        write: Writes it to them.
        lists: Lists of frames: path in the data set -> text.
        first: Number of the first frame.
        size: How many frames a job is; None: one.
        version: Raised when the same parameters give other files than before.
    """

    title: str
    files: Callable[[Job], Mapping[Any, Path]]
    draw: Callable[[Job], Any]
    write: Callable[[Mapping[Any, Path], Any], None]
    lists: Callable[[Sequence[Job]], Mapping[str, str]]
    first: int = 0
    size: Callable[[Job], int] | None = None
    version: int = 1

    def make(self, job: Job) -> int:
        """Draw and write a job; returns how many frames it is."""
        self.write(self.files(job), self.draw(job))
        return self.count([job])

    def count(self, jobs: Sequence[Job]) -> int:
        """Frames of some jobs."""
        return len(jobs) if self.size is None else sum(map(self.size, jobs))


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


def write_set(
    out: str | Path,
    layout: Layout,
    world: Any,
    counts: Mapping[str, int],
    parameters: Mapping[str, Any],
    seed: int = 0,
    workers: int = 1,
) -> Made:
    """Write a data set; frames that a former run finished are kept.

    The files are the same, byte for byte, for any number of workers.

    Args:
        out: Root of the data set; made when there is none.
        layout: How it lies there.
        world: What its frames are drawn from.
        counts: Split -> number of jobs, training first.
        parameters: Everything that decides the files.
        seed: Decides every frame, 0 or more.
        workers: Processes; 1 makes the frames in this one. With more, a script that calls this
            needs the usual ``if __name__ == "__main__"``.

    Raises:
        ValueError: A number is out of range.
        FormatError: ``out`` holds a set made with other parameters, or one that nobody here made;
            the message says what.
    """
    numbers = {f"num_{split}": count for split, count in counts.items()}
    for name, value in {**numbers, "seed": seed, "workers": workers - 1}.items():
        if value < 0:
            least = int(name == "workers")
            raise ValueError(f"{name}={value + least} must be {least} or more")
    folder = Path(out)
    jobs = [
        Job(folder, world, seed, split, index, layout.first + offset + index)
        for split, count in counts.items()
        for offset in [0 if split in ("train", "test") else counts["train"]]
        for index in range(count)
    ]
    lists = layout.lists(jobs)
    written = [*map(folder.joinpath, lists), *(p for j in jobs for p in layout.files(j).values())]
    tops = dict.fromkeys(path.relative_to(folder).parts[0] for path in written)
    _record(folder, {"version": layout.version, **parameters}, tops)
    missing = [job for job in jobs if not all(p.is_file() for p in layout.files(job).values())]
    _run(missing, layout, workers)
    for name, text in lists.items():
        write_text(folder / name, text)
    made = layout.count(missing)
    return Made(folder, num_made=made, num_kept=layout.count(jobs) - made)


def _run(jobs: Sequence[Job], layout: Layout, workers: int) -> None:
    if not jobs:
        return
    progress = tqdm(total=layout.count(jobs), desc=layout.title, unit="frame")
    with progress:
        if workers == 1 or len(jobs) == 1:
            for job in jobs:
                progress.update(layout.make(job))
            return
        # Fresh processes: a fork would copy this one's threads' locks. They share the compiled
        # kernels through numba's cache, which the first frame fills before they start.
        progress.update(layout.make(jobs[0]))
        with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs) - 1)) as pool:
            for count in pool.imap_unordered(layout.make, jobs[1:], chunksize=4):
                progress.update(count)


def _record(folder: Path, parameters: dict, tops: Iterable[str]) -> None:
    """Write down what decides the files, or compare with what a former run wrote down.

    Args:
        folder: Root of the data set.
        parameters: What decides the files.
        tops: What is written directly under it; without a record none of it may be there.

    Raises:
        FormatError: The folder was made with other parameters; the message names them. Or it holds
            somebody else's files.
    """
    path = folder / _RECORD
    # Through JSON and back: tuples become lists on both sides of the comparison.
    parameters = json.loads(json.dumps(parameters))
    if not path.exists():
        found = next((name for name in tops if (folder / name).exists()), None)
        if found is not None:
            raise FormatError(folder, f"holds {found} but no {_RECORD}; not overwritten")
        write_json(path, parameters)
        return
    differences = list(_differences(read_json(path), parameters))
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

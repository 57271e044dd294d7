"""Many frames: a whole data set in KITTI's raw layout, by several processes, resumable."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gemini_det3d.datasets.synthetic.frames import SPLITS, frame_files, make_frame, write_frame
from gemini_det3d.datasets.synthetic.presets import KittiWorld, get_preset
from gemini_det3d.formats import FormatError

# Raised when the same parameters give other files than before.
_VERSION = 1
_RECORD = "scenes.json"


@dataclass(frozen=True)
class Job:
    """One frame to make: where it goes and what decides it; made anew in every process."""

    folder: Path
    number: int
    world: KittiWorld
    seed: int
    split: str
    index: int


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


def make_kitti_scenes(
    out: str | Path,
    num_train: int,
    num_val: int,
    seed: int = 0,
    preset: str | KittiWorld = "toy",
    workers: int = 1,
    num_test: int = 1,
) -> Made:
    """Write a synthetic data set in KITTI's raw layout.

    Frames 0 to ``num_train - 1`` are for training, the next ``num_val`` for validation; a few
    without labels lie in ``testing``. Each split draws from seeds of its own. The files are the
    same, byte for byte, for any number of workers. Frames that a former run finished are kept.

    Args:
        out: Root of the data set; made when there is none.
        num_train: Training frames.
        num_val: Validation frames.
        seed: Decides every frame, 0 or more.
        preset: Name of a preset, or the settings themselves.
        workers: Processes; 1 makes the frames in this one. With more, a script that calls this
            needs the usual ``if __name__ == "__main__"``.
        num_test: Frames in ``testing``; mmdet3d's converter stumbles over a set without any.

    Returns:
        What was done.

    Raises:
        ValueError: A number is out of range or there is no such preset.
        FormatError: ``out`` holds scenes made with other parameters; the message names them.
    """
    world = get_preset(preset) if isinstance(preset, str) else preset
    for name, value, least in (
        ("num_train", num_train, 0),
        ("num_val", num_val, 0),
        ("num_test", num_test, 0),
        ("seed", seed, 0),
        ("workers", workers, 1),
    ):
        if value < least:
            raise ValueError(f"{name}={value} must be {least} or more")
    folder = Path(out)
    counts = dict(zip(SPLITS, (num_train, num_val, num_test)))
    made_from = {"version": _VERSION, "seed": seed, **{f"num_{k}": v for k, v in counts.items()},
                 **world.parameters()}  # fmt: skip
    record_parameters(folder, made_from, owned="training")
    jobs = list(_jobs(folder, counts, world, seed))
    open_jobs = [job for job in jobs if not _is_finished(job)]
    run_jobs(_make, open_jobs, workers)
    _write_image_sets(folder, jobs)
    return Made(folder, num_made=len(open_jobs), num_kept=len(jobs) - len(open_jobs))


def _jobs(folder: Path, counts: dict[str, int], world: KittiWorld, seed: int) -> Iterator[Job]:
    for split, count in counts.items():
        first = counts["train"] if split == "val" else 0
        for index in range(count):
            yield Job(folder, first + index, world, seed, split, index)


def _is_finished(job: Job) -> bool:
    return all(path.is_file() for path in frame_files(job.folder, job.split, job.number).values())


def run_jobs(make: Callable[[Any], None], jobs: Sequence[Any], workers: int) -> None:
    """Make frames, by several processes, and show how far it is.

    Args:
        make: A function of a module, so that other processes find it; writes one frame.
        jobs: What it is called with, each told by itself.
        workers: Processes; 1: this one.
    """
    if not jobs:
        return
    progress = tqdm(total=len(jobs), desc="making scenes", unit="frame")
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


def _make(job: Job) -> None:
    frame = make_frame(job.world, job.seed, job.split, job.index)
    write_frame(frame_files(job.folder, job.split, job.number), frame)


def record_parameters(folder: Path, parameters: dict, owned: str) -> None:
    """Write down what decides the files, or compare with what a former run wrote down.

    Args:
        folder: Root of the data set.
        parameters: Plain values, nested.
        owned: A folder of the data set; where it exists without a record it is somebody else's.

    Raises:
        FormatError: The folder holds other scenes.
    """
    path = folder / _RECORD
    # Through JSON and back: tuples become lists on both sides of the comparison.
    parameters = json.loads(json.dumps(parameters))
    if not path.exists():
        if (folder / owned).exists():
            raise FormatError(folder, f"holds a {owned} folder but no {_RECORD}; not overwritten")
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)
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


def _write_image_sets(folder: Path, jobs: list[Job]) -> None:
    """KITTI's lists of frames."""
    sets = {split: [job.number for job in jobs if job.split == split] for split in SPLITS}
    sets["trainval"] = sets["train"] + sets["val"]
    (folder / "ImageSets").mkdir(parents=True, exist_ok=True)
    for name, numbers in sets.items():
        text = "".join(f"{number:06d}\n" for number in numbers)
        (folder / "ImageSets" / f"{name}.txt").write_text(text, encoding="utf-8")

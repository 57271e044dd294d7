"""Many frames: a whole data set in KITTI's raw layout, by several processes, resumable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gemini_det3d.datasets.synthetic.frames import SPLITS, frame_files, make_frame, write_frame
from gemini_det3d.datasets.synthetic.presets import KittiWorld, get_preset
from gemini_det3d.datasets.synthetic.resumable import Made, record_parameters, run_jobs
from gemini_det3d.formats.text import write_text

# Raised when the same parameters give other files than before.
_VERSION = 1


@dataclass(frozen=True)
class Job:
    """One frame to make: where it goes and what decides it; made anew in every process."""

    folder: Path
    number: int
    world: KittiWorld
    seed: int
    split: str
    index: int


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
    parameters = {"seed": seed, **{f"num_{k}": v for k, v in counts.items()}}
    record_parameters(
        folder, {"version": _VERSION, **parameters, **world.parameters()}, holds="training"
    )
    jobs = list(_jobs(folder, counts, world, seed))
    open_jobs = [job for job in jobs if not _is_finished(job)]
    run_jobs(open_jobs, _make, workers, "making scenes")
    _write_image_sets(folder, jobs)
    return Made(folder, num_made=len(open_jobs), num_kept=len(jobs) - len(open_jobs))


def _jobs(folder: Path, counts: dict[str, int], world: KittiWorld, seed: int) -> Iterator[Job]:
    for split, count in counts.items():
        first = counts["train"] if split == "val" else 0
        for index in range(count):
            yield Job(folder, first + index, world, seed, split, index)


def _is_finished(job: Job) -> bool:
    return all(path.is_file() for path in frame_files(job.folder, job.split, job.number).values())


def _make(job: Job) -> None:
    frame = make_frame(job.world, job.seed, job.split, job.index)
    write_frame(frame_files(job.folder, job.split, job.number), frame)


def _write_image_sets(folder: Path, jobs: list[Job]) -> None:
    """KITTI's lists of frames."""
    sets = {split: [job.number for job in jobs if job.split == split] for split in SPLITS}
    sets["trainval"] = sets["train"] + sets["val"]
    for name, numbers in sets.items():
        text = "".join(f"{number:06d}\n" for number in numbers)
        write_text(folder / "ImageSets" / f"{name}.txt", text)

"""Many rooms: a whole data set in the layout of SUN RGB-D's extraction, resumable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gemini_det3d.datasets.synthetic.resumable import Made, record_parameters, run_jobs
from gemini_det3d.datasets.synthetic.room_frames import (
    ROOM_PRESETS,
    RoomWorld,
    make_room_frame,
    room_files,
    write_room_frame,
)
from gemini_det3d.formats.text import write_text

# Raised when the same parameters give other files than before.
_VERSION = 1


@dataclass(frozen=True)
class RoomJob:
    """One frame to make: where it goes and what decides it; made anew in every process."""

    folder: Path
    number: int
    world: RoomWorld
    seed: int
    split: str
    index: int


def make_rooms(
    out: str | Path,
    num_train: int,
    num_val: int,
    seed: int = 0,
    preset: str | RoomWorld = "toy",
    workers: int = 1,
) -> Made:
    """Write synthetic rooms as the MATLAB extraction of SUN RGB-D lies on disk.

    ``sunrgbd_trainval`` with ``image``, ``depth``, ``calib``, ``label`` and the two lists, as
    mmdet3d documents it. Frames 1 to ``num_train`` are for training, the next ``num_val`` for
    validation; each split draws from seeds of its own. The files are the same for any number of
    workers, and frames that a former run finished are kept.

    Args:
        out: Root of the data set; made when there is none.
        num_train: Training frames.
        num_val: Validation frames.
        seed: Decides every frame, 0 or more.
        preset: Name of one of ``ROOM_PRESETS``, or the settings themselves.
        workers: Processes; see :func:`gemini_det3d.datasets.synthetic.make_kitti_scenes`.

    Returns:
        What was done.

    Raises:
        ValueError: A number is out of range or there is no such preset.
        FormatError: ``out`` holds rooms made with other parameters; the message names them.
    """
    if isinstance(preset, str) and preset not in ROOM_PRESETS:
        raise ValueError(f"no preset {preset!r}; there are {', '.join(ROOM_PRESETS)}")
    world = ROOM_PRESETS[preset] if isinstance(preset, str) else preset
    counts = {"train": num_train, "val": num_val}
    for name, value, least in (
        ("num_train", num_train, 0),
        ("num_val", num_val, 0),
        ("seed", seed, 0),
        ("workers", workers, 1),
    ):
        if value < least:
            raise ValueError(f"{name}={value} must be {least} or more")
    folder = Path(out)
    parameters = {"seed": seed, **{f"num_{k}": v for k, v in counts.items()}}
    record_parameters(
        folder, {"version": _VERSION, **parameters, **world.parameters()}, holds="sunrgbd_trainval"
    )
    jobs = [
        RoomJob(folder, 1 + index + (num_train if split == "val" else 0), world, seed, split, index)
        for split, count in counts.items()
        for index in range(count)
    ]
    open_jobs = [job for job in jobs if not _is_finished(job)]
    run_jobs(open_jobs, _make, workers, "making rooms")
    _write_lists(folder, jobs)
    return Made(folder, num_made=len(open_jobs), num_kept=len(jobs) - len(open_jobs))


def _is_finished(job: RoomJob) -> bool:
    return all(path.is_file() for path in room_files(job.folder, job.number).values())


def _make(job: RoomJob) -> None:
    frame = make_room_frame(job.world, job.seed, job.split, job.index)
    write_room_frame(room_files(job.folder, job.number), frame)


def _write_lists(folder: Path, jobs: list[RoomJob]) -> None:
    """The extraction's lists of frames: numbers without leading zeros."""
    root = folder / "sunrgbd_trainval"
    for split in ("train", "val"):
        text = "".join(f"{job.number}\n" for job in jobs if job.split == split)
        write_text(root / f"{split}_data_idx.txt", text)

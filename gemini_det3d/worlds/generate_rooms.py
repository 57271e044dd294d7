"""Many rooms: a whole data set in the layout of SUN RGB-D's extraction, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gemini_det3d.worlds.resumable import Job, Layout, Made, write_set
from gemini_det3d.worlds.room_frames import (
    ROOM_PRESETS,
    RoomFrame,
    RoomWorld,
    make_room_frame,
    room_files,
    write_room_frame,
)


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
    validation; each split draws from seeds of its own. It is written by
    :func:`gemini_det3d.worlds.resumable.write_set`.

    Args:
        out: Root of the data set; made when there is none.
        num_train: Training frames.
        num_val: Validation frames.
        seed: Decides every frame, 0 or more.
        preset: Name of one of ``ROOM_PRESETS``, or the settings themselves.
        workers: Processes.

    Raises:
        ValueError: A number is out of range or there is no such preset.
        FormatError: ``out`` holds rooms made with other parameters; the message names them.
    """
    if isinstance(preset, str) and preset not in ROOM_PRESETS:
        raise ValueError(f"no preset {preset!r}; there are {', '.join(ROOM_PRESETS)}")
    world = ROOM_PRESETS[preset] if isinstance(preset, str) else preset
    counts = {"train": num_train, "val": num_val}
    parameters = {"seed": seed, "num_train": num_train, "num_val": num_val, **asdict(world)}
    return write_set(out, _LAYOUT, world, counts, parameters, seed, workers)


def _files(job: Job) -> dict[str, Path]:
    return room_files(job.folder, job.number)


def _draw(job: Job) -> RoomFrame:
    return make_room_frame(job.world, job.seed, job.split, job.index)


def _lists(jobs: Sequence[Job]) -> dict[str, str]:
    """The extraction's lists of frames: numbers without leading zeros."""
    return {
        f"{_ROOT}/{split}_data_idx.txt": "".join(f"{j.number}\n" for j in jobs if j.split == split)
        for split in ("train", "val")
    }


_ROOT = "sunrgbd_trainval"
_LAYOUT = Layout("making rooms", _files, _draw, write_room_frame, _lists, first=1, version=2)

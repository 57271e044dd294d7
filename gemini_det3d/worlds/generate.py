"""Many frames: a whole data set in KITTI's raw layout, by several processes, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gemini_det3d.worlds.frames import SPLITS, Frame, frame_files, make_frame, write_frame
from gemini_det3d.worlds.presets import KittiWorld, get_preset
from gemini_det3d.worlds.resumable import Job, Layout, Made, write_set


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
    without labels lie in ``testing``. Each split draws from seeds of its own. It is written by
    :func:`gemini_det3d.worlds.resumable.write_set`.

    Args:
        out: Root of the data set; made when there is none.
        num_train: Training frames.
        num_val: Validation frames.
        seed: Decides every frame, 0 or more.
        preset: Name of a preset, or the settings themselves.
        workers: Processes; 1 makes the frames in this one. With more, a script that calls this
            needs the usual ``if __name__ == "__main__"``.
        num_test: Frames in ``testing``; mmdet3d's converter stumbles over a set without any.

    Raises:
        ValueError: A number is out of range or there is no such preset.
        FormatError: ``out`` holds scenes made with other parameters; the message names them.
    """
    world = get_preset(preset) if isinstance(preset, str) else preset
    counts = dict(zip(SPLITS, (num_train, num_val, num_test)))
    numbers = {f"num_{split}": count for split, count in counts.items()}
    parameters = {"seed": seed, **numbers, **asdict(world)}
    return write_set(out, _LAYOUT, world, counts, parameters, seed, workers)


def _files(job: Job) -> dict[str, Path]:
    return frame_files(job.folder, job.split, job.number)


def _draw(job: Job) -> Frame:
    return make_frame(job.world, job.seed, job.split, job.index)


def _lists(jobs: Sequence[Job]) -> dict[str, str]:
    """KITTI's lists of frames."""
    sets = {split: [job.number for job in jobs if job.split == split] for split in SPLITS}
    sets["trainval"] = sets["train"] + sets["val"]
    return {
        f"ImageSets/{name}.txt": "".join(f"{number:06d}\n" for number in numbers)
        for name, numbers in sets.items()
    }


_LAYOUT = Layout("making scenes", _files, _draw, write_frame, _lists)

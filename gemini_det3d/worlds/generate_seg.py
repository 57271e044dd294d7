"""Many frames: a whole segmentation set in a real one's layout, by several processes, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from gemini_det3d.worlds.resumable import Job, Layout, Made, write_set
from gemini_det3d.worlds.seg_frames import (
    LAYOUTS,
    SegSample,
    SegWorld,
    make_seg_frame,
    seg_frame_files,
    write_seg_frame,
)


def make_seg_scenes(
    out: str | Path,
    num_train: int,
    num_val: int,
    seed: int = 0,
    layout: str = "deliver",
    world: SegWorld | None = None,
    workers: int = 1,
) -> Made:
    """Write a synthetic segmentation set, by `write_set`.

    Args:
        out: Root of the data set; made when there is none.
        num_train: Training frames.
        num_val: Frames of the other split: ``val``, in SUN RGB-D's layout ``test``.
        seed: Decides every frame, 0 or more.
        layout: "deliver" (four modalities), "nyudv2" or "sunrgbd" (RGB and depth).
        world: What scenes hold and sensors see; None: the defaults.
        workers: Processes.

    Raises:
        ValueError: A number is out of range or there is no such layout.
        FormatError: ``out`` holds scenes made with other parameters; the message names them.
    """
    world = world or SegWorld()
    if layout not in LAYOUTS:
        raise ValueError(f"no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    counts = {"train": num_train, "test" if layout == "sunrgbd" else "val": num_val}
    parameters = {"layout": layout, "seed": seed, "num_train": num_train, "num_val": num_val,
                  **asdict(world)}  # fmt: skip
    return write_set(out, _layout(layout), world, counts, parameters, seed, workers)


def _layout(name: str) -> Layout:
    write = partial(write_seg_frame, layout=name)
    return Layout("making scenes", partial(_files, name), _draw, write, partial(_lists, name))


def _files(layout: str, job: Job) -> dict[str, Path]:
    return seg_frame_files(job.folder, layout, job.world, job.split, job.index)


def _draw(job: Job) -> SegSample:
    return make_seg_frame(job.world, job.seed, job.split, job.index)


def _lists(layout: str, jobs: Sequence[Job]) -> dict[str, str]:
    """Those of NYUDv2 and SUN RGB-D; DeLiVER's folders say it."""
    if layout == "deliver":
        return {}
    keys = ("rgb", "labels", "depth") if layout == "nyudv2" else ("rgb", "labels")
    lists: dict[str, str] = {}
    for job in jobs:
        found = _files(layout, job)
        paths = (found[key].relative_to(job.folder).as_posix() for key in keys)
        name = f"{job.split}.txt"
        lists[name] = lists.get(name, "") + "\t".join(paths) + "\n"
    return lists

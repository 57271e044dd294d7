"""Many frames: a whole segmentation set in a real one's layout, by several processes, resumable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gemini_det3d.datasets.synthetic.resumable import Made, record_parameters, run_jobs
from gemini_det3d.datasets.synthetic.seg_frames import (
    LAYOUTS,
    SegWorld,
    make_seg_frame,
    seg_frame_files,
    write_seg_frame,
)
from gemini_det3d.formats.text import write_text

# Raised when the same parameters give other files than before.
_VERSION = 1


@dataclass(frozen=True)
class SegJob:
    """One frame to make: where it goes and what decides it; made anew in every process."""

    folder: Path
    layout: str
    world: SegWorld
    seed: int
    split: str
    index: int

    def files(self) -> dict[str, Path]:
        """Its files."""
        return seg_frame_files(self.folder, self.layout, self.world, self.split, self.index)


def make_seg_scenes(
    out: str | Path,
    num_train: int,
    num_val: int,
    seed: int = 0,
    layout: str = "deliver",
    world: SegWorld | None = None,
    workers: int = 1,
) -> Made:
    """Write a synthetic segmentation set.

    The files are the same, byte for byte, for any number of workers. Frames that a former run
    finished are kept.

    Args:
        out: Root of the data set; made when there is none.
        num_train: Training frames.
        num_val: Frames of the other split: ``val``, in SUN RGB-D's layout ``test``.
        seed: Decides every frame, 0 or more.
        layout: "deliver" (four modalities), "nyudv2" or "sunrgbd" (RGB and depth).
        world: What scenes hold and sensors see; None: the defaults.
        workers: Processes; see `make_kitti_scenes`.

    Returns:
        What was done.

    Raises:
        ValueError: A number is out of range or there is no such layout.
        FormatError: ``out`` holds scenes made with other parameters; the message names them.
    """
    world = world or SegWorld()
    if layout not in LAYOUTS:
        raise ValueError(f"no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    numbers = {"num_train": num_train, "num_val": num_val, "seed": seed, "workers": workers - 1}
    for name, value in numbers.items():
        if value < 0:
            raise ValueError(f"{name}={value + (name == 'workers')} is too small")
    folder = Path(out)
    made_from = {"version": _VERSION, "layout": layout, "seed": seed, "num_train": num_train,
                 "num_val": num_val, **world.parameters()}  # fmt: skip
    record_parameters(folder, made_from, holds="img" if layout == "deliver" else "labels")
    jobs = list(_jobs(folder, layout, world, seed, num_train, num_val))
    open_jobs = [job for job in jobs if not all(p.is_file() for p in job.files().values())]
    run_jobs(open_jobs, _make, workers, "making scenes")
    if layout != "deliver":
        _write_lists(folder, layout, jobs)
    return Made(folder, num_made=len(open_jobs), num_kept=len(jobs) - len(open_jobs))


def _jobs(
    folder: Path, layout: str, world: SegWorld, seed: int, num_train: int, num_val: int
) -> Iterator[SegJob]:
    other = "test" if layout == "sunrgbd" else "val"
    for split, count in (("train", num_train), (other, num_val)):
        for index in range(count):
            yield SegJob(folder, layout, world, seed, split, index)


def _make(job: SegJob) -> None:
    sample = make_seg_frame(job.world, job.seed, job.split, job.index)
    write_seg_frame(job.files(), job.layout, sample)


def _write_lists(folder: Path, layout: str, jobs: list[SegJob]) -> None:
    keys = ("rgb", "labels", "depth") if layout == "nyudv2" else ("rgb", "labels")
    lines: dict[str, list[str]] = {}
    for job in jobs:
        paths = (job.files()[key].relative_to(folder).as_posix() for key in keys)
        lines.setdefault(job.split, []).append("\t".join(paths) + "\n")
    for split, rows in lines.items():
        write_text(folder / f"{split}.txt", "".join(rows))

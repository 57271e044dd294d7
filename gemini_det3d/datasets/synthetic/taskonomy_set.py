"""Many views in Taskonomy's layout: a folder per domain, and lists of training and validation."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gemini_det3d.datasets.synthetic.scene import Scene
from gemini_det3d.datasets.synthetic.street import sample_street
from gemini_det3d.datasets.synthetic.views import (
    VIEW_DOMAINS,
    Viewpoint,
    render_view,
    sample_camera,
)
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.taskonomy import domain_path, write_png

WORLDS: dict[str, Callable[[np.random.Generator], Scene]] = {"street": sample_street}
"""What can be seen: each draws a scene around the world's origin, x to the front."""
_SPLITS = ("train", "val")
_RECORD = "views.json"
# Raised when the same parameters give other files than before.
_VERSION = 1


@dataclass(frozen=True)
class ViewSet:
    """Everything that decides the files.

    Attributes:
        num_train: Training views.
        num_val: Validation views, of scenes of their own.
        seed: Decides every view, 0 or more.
        world: One of ``WORLDS``.
        views_per_scene: Views of each scene.
        viewpoint: The cameras.
    """

    num_train: int = 1000
    num_val: int = 500
    seed: int = 0
    world: str = "street"
    views_per_scene: int = 2
    viewpoint: Viewpoint = field(default_factory=Viewpoint)

    def __post_init__(self) -> None:
        """Refuse sets that cannot be."""
        for name, least in (("num_train", 0), ("num_val", 0), ("seed", 0), ("views_per_scene", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be {least} or more")
        if self.world not in WORLDS:
            raise ValueError(f"no world {self.world!r}; there are {', '.join(WORLDS)}")


def make_taskonomy_views(out: str | Path, views: ViewSet, workers: int = 1) -> tuple[int, int]:
    """Write views in Taskonomy's layout, with ``train.txt`` and ``val.txt``.

    The files are the same, byte for byte, for any number of workers. Scenes that a former run
    finished are kept.

    Args:
        out: Root of the data set; made when there is none.
        views: What to write.
        workers: Processes.

    Returns:
        Views written, and views that were there already.

    Raises:
        ValueError: ``workers`` is below 1.
        FormatError: ``out`` holds views made with other parameters.
    """
    if workers < 1:
        raise ValueError(f"workers={workers} must be 1 or more")
    folder = Path(out)
    _record(folder, {"version": _VERSION, **asdict(views)})
    jobs = [job for split in _SPLITS for job in _jobs(folder, views, split)]
    todo = [job for job in jobs if not all(path.is_file() for path in _paths(job))]
    with tqdm(total=sum(_count(job) for job in todo), desc="making views", unit="view") as bar:
        for job in _finished(todo, workers):
            bar.update(_count(job))
    for split in _SPLITS:
        stems = [stem for job in jobs if job[2] == split for stem in _stems(job)]
        (folder / f"{split}.txt").write_text("".join(f"{s}\n" for s in stems), encoding="utf-8")
    made = sum(_count(job) for job in todo)
    return made, views.num_train + views.num_val - made


_Job = tuple[Path, ViewSet, str, int]


def _jobs(folder: Path, views: ViewSet, split: str) -> list[_Job]:
    """One per scene."""
    count = views.num_train if split == "train" else views.num_val
    return [(folder, views, split, scene) for scene in range(-(-count // views.views_per_scene))]


def _stems(job: _Job) -> list[str]:
    _, views, split, scene = job
    per, count = views.views_per_scene, views.num_train if split == "train" else views.num_val
    # Scenes of the two splits are numbered through, so no stem stands for two views.
    first = 0 if split == "train" else -(-views.num_train // per)
    return [f"point_{first + scene}_view_{v}" for v in range(min(per, count - scene * per))]


def _count(job: _Job) -> int:
    return len(_stems(job))


def _paths(job: _Job) -> list[Path]:
    return [domain_path(job[0], stem, domain) for stem in _stems(job) for domain in VIEW_DOMAINS]


def _make(job: _Job) -> _Job:
    folder, views, split, number = job
    sequence = np.random.SeedSequence([views.seed, _SPLITS.index(split), number])
    scene_rng, *view_rngs = map(np.random.default_rng, sequence.spawn(1 + views.views_per_scene))
    scene = WORLDS[views.world](scene_rng)
    for stem, rng in zip(_stems(job), view_rngs):
        images = render_view(scene, sample_camera(rng, views.viewpoint), rng)
        for domain, image in images.items():
            write_png(domain_path(folder, stem, domain), image)
    return job


def _finished(jobs: list[_Job], workers: int):
    """Make, in this process or several; each job as it is done."""
    if workers == 1 or len(jobs) < 2:
        yield from map(_make, jobs)
        return
    yield _make(jobs[0])  # fills the cache of compiled kernels before the others start
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs) - 1)) as pool:
        yield from pool.imap_unordered(_make, jobs[1:], chunksize=4)


def _record(folder: Path, parameters: dict) -> None:
    """Write down what decides the files, or compare with what a former run wrote down."""
    path = folder / _RECORD
    text = json.dumps(parameters, indent=1) + "\n"
    if not path.exists():
        if (folder / "rgb").exists():
            raise FormatError(folder, f"holds a folder rgb but no {_RECORD}; not overwritten")
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise FormatError(path, "was made with other parameters; use another folder")

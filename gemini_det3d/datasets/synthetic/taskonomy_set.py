"""Many views in Taskonomy's layout: a folder per domain, and lists of training and validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from gemini_det3d.datasets.synthetic.resumable import Made, record_parameters, run_jobs
from gemini_det3d.datasets.synthetic.rooms import sample_room
from gemini_det3d.datasets.synthetic.scene import Scene
from gemini_det3d.datasets.synthetic.street import sample_street
from gemini_det3d.datasets.synthetic.views import (
    VIEW_DOMAINS,
    Viewpoint,
    render_view,
    sample_camera,
)
from gemini_det3d.datasets.synthetic.weather import WEATHERS, under_weather
from gemini_det3d.formats.taskonomy import domain_path, write_png
from gemini_det3d.formats.text import write_text

_SPLITS = ("train", "val")
# Raised when the same parameters give other files than before.
_VERSION = 1


@dataclass(frozen=True)
class World:
    """What is seen.

    Attributes:
        sample: Draws a scene around the world's origin, where the camera stands.
        facing_deg: Where its front is, from +x towards +y.
        down_deg: How far cameras look down on average.
    """

    sample: Callable[[np.random.Generator], Scene]
    facing_deg: float = 0.0
    down_deg: float = 0.0


WORLDS = {"street": World(sample_street), "room": World(sample_room, 90.0, 14.0)}


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
        weathers: Scenes come in these in turn, of ``WEATHERS``; none: in daylight, as drawn.
    """

    num_train: int = 1000
    num_val: int = 500
    seed: int = 0
    world: str = "street"
    views_per_scene: int = 2
    viewpoint: Viewpoint = field(default_factory=Viewpoint)
    weathers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse sets that cannot be."""
        for name, least in (("num_train", 0), ("num_val", 0), ("seed", 0), ("views_per_scene", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be {least} or more")
        if self.world not in WORLDS:
            raise ValueError(f"no world {self.world!r}; there are {', '.join(WORLDS)}")
        for name in self.weathers:
            if name not in WEATHERS:
                raise ValueError(f"no weather {name!r}; there are {', '.join(WEATHERS)}")


@dataclass(frozen=True)
class SceneJob:
    """One scene and its views; made anew in every process.

    Attributes:
        folder: Root of the data set.
        views: The set that it belongs to.
        split: ``train`` or ``val``.
        index: Number of the scene in its split.
        stems: Of its views.
    """

    folder: Path
    views: ViewSet
    split: str
    index: int
    stems: tuple[str, ...]

    def is_finished(self) -> bool:
        """Whether all files are there."""
        return all(domain_path(self.folder, stem, domain).is_file()
                   for stem in self.stems for domain in VIEW_DOMAINS)  # fmt: skip


def make_taskonomy_views(out: str | Path, views: ViewSet, workers: int = 1) -> Made:
    """Write views in Taskonomy's layout, with ``train.txt`` and ``val.txt``.

    The files are the same, byte for byte, for any number of workers. Scenes that a former run
    finished are kept.

    Args:
        out: Root of the data set; made when there is none.
        views: What to write.
        workers: Processes.

    Returns:
        What was done, in views.

    Raises:
        ValueError: ``workers`` is below 1.
        FormatError: ``out`` holds views made with other parameters; the message names them.
    """
    if workers < 1:
        raise ValueError(f"workers={workers} must be 1 or more")
    folder = Path(out)
    record_parameters(folder, {"version": _VERSION, **asdict(views)}, holds="rgb")
    jobs = [job for split in _SPLITS for job in _jobs(folder, views, split)]
    open_jobs = [job for job in jobs if not job.is_finished()]
    run_jobs(open_jobs, _make, workers, "making views")
    for split in _SPLITS:
        stems = [stem for job in jobs if job.split == split for stem in job.stems]
        write_text(folder / f"{split}.txt", "".join(f"{s}\n" for s in stems))
    made = sum(len(job.stems) for job in open_jobs)
    return Made(folder, num_made=made, num_kept=views.num_train + views.num_val - made)


def _jobs(folder: Path, views: ViewSet, split: str) -> list[SceneJob]:
    """Scenes of the two splits are numbered through, so no stem stands for two views."""
    per = views.views_per_scene
    scenes_of_train = -(-views.num_train // per)
    first, count = (0, views.num_train) if split == "train" else (scenes_of_train, views.num_val)
    stems = [f"point_{first + view // per}_view_{view % per}" for view in range(count)]
    return [SceneJob(folder, views, split, start // per, tuple(stems[start : start + per]))
            for start in range(0, count, per)]  # fmt: skip


def _make(job: SceneJob) -> None:
    views, world = job.views, WORLDS[job.views.world]
    sequence = np.random.SeedSequence([views.seed, _SPLITS.index(job.split), job.index])
    seeds = sequence.spawn(2 + views.views_per_scene)
    scene_rng, *view_rngs, weather_rng = map(np.random.default_rng, seeds)
    scene, viewpoint = world.sample(scene_rng), views.viewpoint
    if views.weathers:
        weather = WEATHERS[views.weathers[job.index % len(views.weathers)]]
        scene = under_weather(scene, weather, weather_rng)
        viewpoint = replace(viewpoint, noise=weather.noise)
    for stem, rng in zip(job.stems, view_rngs):
        camera = sample_camera(rng, viewpoint, world.facing_deg, world.down_deg)
        for domain, image in render_view(scene, camera, rng).items():
            write_png(domain_path(job.folder, stem, domain), image)

"""Many views in Taskonomy's layout: a folder per domain, and lists of training and validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from gemini_det3d.formats.taskonomy import domain_path, write_png
from gemini_det3d.worlds.resumable import Job, Layout, Made, write_set
from gemini_det3d.worlds.rooms import sample_room
from gemini_det3d.worlds.scene import Scene
from gemini_det3d.worlds.street import sample_street
from gemini_det3d.worlds.views import (
    VIEW_DOMAINS,
    Viewpoint,
    render_view,
    sample_camera,
)
from gemini_det3d.worlds.weather import WEATHERS, under_weather

_SPLITS = ("train", "val")


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


def make_taskonomy_views(out: str | Path, views: ViewSet, workers: int = 1) -> Made:
    """Write views in Taskonomy's layout, with ``train.txt`` and ``val.txt``, by `write_set`.

    Raises:
        ValueError: ``workers`` is below 1.
        FormatError: ``out`` holds views made with other parameters; the message names them.
    """
    # A job is a scene; those of the two splits are numbered through, so no stem is used twice.
    counts = {s: -(-_num_views(views, s) // views.views_per_scene) for s in _SPLITS}
    return write_set(out, _LAYOUT, views, counts, asdict(views), views.seed, workers)


def _num_views(views: ViewSet, split: str) -> int:
    return views.num_train if split == "train" else views.num_val


def _stems(job: Job) -> list[str]:
    """Names of a scene's views; the last scene of a split may have fewer."""
    views: ViewSet = job.world
    left = _num_views(views, job.split) - job.index * views.views_per_scene
    return [f"point_{job.number}_view_{k}" for k in range(min(left, views.views_per_scene))]


def _num_stems(job: Job) -> int:
    return len(_stems(job))


def _files(job: Job) -> dict[tuple[str, str], Path]:
    return {(s, d): domain_path(job.folder, s, d) for s in _stems(job) for d in VIEW_DOMAINS}


def _lists(jobs: Sequence[Job]) -> dict[str, str]:
    """Of the splits that have views: readers take an empty list for a broken one."""
    stems = {split: [s for j in jobs if j.split == split for s in _stems(j)] for split in _SPLITS}
    return {f"{split}.txt": "\n".join([*names, ""]) for split, names in stems.items() if names}


def _draw(job: Job) -> dict[tuple[str, str], np.ndarray]:
    views: ViewSet = job.world
    world = WORLDS[views.world]
    sequence = np.random.SeedSequence([views.seed, _SPLITS.index(job.split), job.index])
    seeds = sequence.spawn(2 + views.views_per_scene)
    scene_rng, *view_rngs, weather_rng = map(np.random.default_rng, seeds)
    scene, viewpoint = world.sample(scene_rng), views.viewpoint
    if views.weathers:
        weather = WEATHERS[views.weathers[job.index % len(views.weathers)]]
        scene = under_weather(scene, weather, weather_rng)
        viewpoint = replace(viewpoint, noise=weather.noise)
    images = {}
    for stem, rng in zip(_stems(job), view_rngs):
        camera = sample_camera(rng, viewpoint, world.facing_deg, world.down_deg)
        found = render_view(scene, camera, rng)
        images |= {(stem, domain): image for domain, image in found.items()}
    return images


def _write(
    files: Mapping[tuple[str, str], Path], images: Mapping[tuple[str, str], np.ndarray]
) -> None:
    for key, path in files.items():
        write_png(path, images[key])


_LAYOUT = Layout("making views", _files, _draw, _write, _lists, size=_num_stems)

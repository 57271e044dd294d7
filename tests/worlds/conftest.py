"""Small scenes placed by hand, and a small world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gemini_det3d.worlds import (
    PRESETS,
    Body,
    KittiWorld,
    Light,
    Part,
    Placement,
    Scanner,
    Scene,
)
from gemini_det3d.worlds.materials import Material
from gemini_det3d.worlds.solids import BOX

GREY = Material((0.5, 0.5, 0.5), reflectance=0.5)


def place(part: Part, position=(0.0, 0.0, 0.0), yaw: float = 0.0) -> Placement:
    return Placement(Body("Thing", part.size, (part,)), position, yaw)


@pytest.fixture
def crate() -> Callable[..., Placement]:
    """A maker of plain boxes that stand at a place."""

    def make(position, size, yaw=0.0, name="Car", material=GREY) -> Placement:
        part = Part(BOX, (0.0, 0.0, size[2] / 2), size, material, "crate")
        return Placement(Body(name, size, (part,)), position, yaw)

    return make


@pytest.fixture
def scene_of() -> Callable[..., Scene]:
    """A maker of scenes: labelled things first, then background."""

    def make(things, background=(), light=None) -> Scene:
        light = light or Light(direction=(0.0, 0.0, 1.0))
        return Scene(tuple(things), (True,) * len(things), tuple(background), light)

    return make


@pytest.fixture(scope="session")
def small_world() -> KittiWorld:
    """The toy preset with few rays."""
    toy = PRESETS["toy"]
    scanner = replace(Scanner(), num_beams=31, num_azimuths=127)
    return replace(toy, scanner=scanner, image_width=211, image_height=67, supersample=1)


@pytest.fixture(scope="session")
def exact_world(small_world: KittiWorld) -> KittiWorld:
    """A LiDAR that measures without noise and loses little."""
    scanner = replace(small_world.scanner, noise_m=0.0, dropout=0.0, num_azimuths=331)
    return replace(small_world, scanner=scanner)


def points_in_box(points: np.ndarray, box: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """(N,) bool; a slow, obvious test by turning the points into the box's frame."""
    cos, sin = np.cos(-box[6]), np.sin(-box[6])
    away = points[:, :3] - box[:3]
    x = cos * away[:, 0] - sin * away[:, 1]
    y = sin * away[:, 0] + cos * away[:, 1]
    inside = (np.abs(x) <= box[3] / 2 + margin) & (np.abs(y) <= box[4] / 2 + margin)
    return inside & (away[:, 2] >= -margin) & (away[:, 2] <= box[5] + margin)


@pytest.fixture(scope="session")
def in_box() -> Callable[..., np.ndarray]:
    return points_in_box

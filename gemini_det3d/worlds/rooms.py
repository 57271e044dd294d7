"""Rooms with furniture, seen by a camera that stands in them.

The world's origin is the floor under the camera; x points right, y to the front, z up, so that
SUN RGB-D's depth frame is the world lowered to the camera. Rooms are open at the top, like a
doll's house, and light falls in from there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gemini_det3d.worlds.furniture import FURNITURE, make_plant
from gemini_det3d.worlds.layout import Ground, Rectangle
from gemini_det3d.worlds.materials import Color, Material
from gemini_det3d.worlds.props import make_bin
from gemini_det3d.worlds.scene import Light, Scene, direction_of
from gemini_det3d.worlds.shapes import block
from gemini_det3d.worlds.solids import Body, Placement, yaw_matrix

_MARGIN_M = 0.06
_TRIES = 80
_WALL_M, _WALL_HEIGHT_M = 0.12, 2.9
# Half of the angle in which furniture stands, seen from the camera.
_HALF_FIELD_RAD = np.radians(29.0)
_WALLS: tuple[Color, ...] = (
    (0.86, 0.84, 0.78),
    (0.80, 0.84, 0.86),
    (0.84, 0.86, 0.80),
    (0.90, 0.88, 0.86),
)
_FLOORS: tuple[Material, ...] = (
    Material((0.60, 0.56, 0.50), "tiles", (0.45, 0.42, 0.38), 0.5),
    Material((0.50, 0.50, 0.52), "cloth", period_m=0.2),
    Material((0.66, 0.60, 0.52), "stone", (0.56, 0.50, 0.44), 0.4),
)


@dataclass(frozen=True)
class RoomStyle:
    """What rooms are like.

    Attributes:
        num_objects: Fewest and most pieces of furniture that are tried.
        num_clutter: Fewest and most other things.
        distance_m: Nearest and farthest piece of furniture, from the camera.
        size_m: Shortest and longest side of the room.
        shares: How often each class is drawn.
        yaw_jitter_rad: Standard deviation of furniture against the walls; chairs stand anyhow.
    """

    num_objects: tuple[int, int] = (3, 6)
    num_clutter: tuple[int, int] = (0, 2)
    distance_m: tuple[float, float] = (1.9, 4.6)
    size_m: tuple[float, float] = (4.4, 6.5)
    shares: tuple[tuple[str, float], ...] = (
        ("bed", 0.12),
        ("chair", 0.24),
        ("table", 0.16),
        ("desk", 0.16),
        ("dresser", 0.16),
        ("night_stand", 0.16),
    )
    yaw_jitter_rad: float = 0.06

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for name in ("num_objects", "num_clutter", "distance_m", "size_m"):
            low, high = getattr(self, name)
            if not 0 <= low <= high < math.inf:
                raise ValueError(f"{name}={low, high} must be two rising numbers, 0 or more")
        unknown = [name for name, _ in self.shares if name not in FURNITURE]
        if unknown:
            raise ValueError(f"shares names {unknown}, known are {list(FURNITURE)}")


@dataclass(frozen=True)
class _Walls:
    """A rectangular room; ``yaw`` turns it, and the camera stands at ``camera`` inside."""

    size: tuple[float, float]
    camera: tuple[float, float]
    yaw: float

    def to_world(self, x: float, y: float) -> tuple[float, float]:
        wx, wy, _ = yaw_matrix(self.yaw) @ [x - self.camera[0], y - self.camera[1], 0.0]
        return float(wx), float(wy)

    def holds(self, footprint: Rectangle) -> bool:
        turned = footprint.corners() @ yaw_matrix(self.yaw)[:2, :2] + self.camera
        return bool((np.abs(turned) < np.array(self.size) / 2 - _MARGIN_M).all())


def sample_room(rng: np.random.Generator, style: RoomStyle | None = None) -> Scene:
    """Draw a room."""
    style = RoomStyle() if style is None else style
    width, depth = (float(v) for v in rng.uniform(*style.size_m, 2))
    camera = (float(rng.uniform(-0.25, 0.25)) * width, -depth / 2 + float(rng.uniform(0.3, 0.7)))
    walls = _Walls((width, depth), camera, float(np.clip(rng.normal(0, 0.25), -0.6, 0.6)))
    ground = Ground()
    ground.take(Rectangle(0.0, 0.0, 0.8, 0.8, 0.0), 0.0)  # whoever holds the camera
    things = []
    names, weights = zip(*style.shares)
    for _ in range(rng.integers(style.num_objects[0], style.num_objects[1] + 1)):
        name = names[rng.choice(len(names), p=np.array(weights) / sum(weights))]
        things += _place(rng, FURNITURE[name](rng), style, walls, ground)
    background = _shell(rng, walls)
    for _ in range(rng.integers(style.num_clutter[0], style.num_clutter[1] + 1)):
        body = (make_plant, make_bin)[rng.integers(2)](rng)
        background += _place(rng, body, style, walls, ground)
    return Scene(tuple(things), (True,) * len(things), tuple(background), _light(rng))


def _place(
    rng: np.random.Generator, body: Body, style: RoomStyle, walls: _Walls, ground: Ground
) -> list[Placement]:
    """The body where it is free and in sight; nothing after many tries."""
    for _ in range(_TRIES):
        distance = float(rng.uniform(*style.distance_m))
        angle = float(rng.uniform(-1, 1)) * _HALF_FIELD_RAD
        x, y = distance * float(np.sin(angle)), distance * float(np.cos(angle))
        yaw = walls.yaw + float(rng.integers(4)) * np.pi / 2 + rng.normal(0, style.yaw_jitter_rad)
        if body.name == "chair":
            yaw = rng.uniform(-np.pi, np.pi)
        footprint = Rectangle(x, y, body.size[0], body.size[1], float(yaw))
        if walls.holds(footprint) and ground.take(footprint, _MARGIN_M):
            return [Placement(body, (x, y, 0.0), float(yaw))]
    return []


def _shell(rng: np.random.Generator, walls: _Walls) -> list[Placement]:
    """Floor and four walls."""
    paint = Material(_WALLS[rng.integers(len(_WALLS))])
    floor = _FLOORS[rng.integers(len(_FLOORS))]
    width, depth = walls.size
    long, high = 2 * _WALL_M, _WALL_HEIGHT_M
    slabs = [(0.0, 0.0, (width + long, depth + long, 0.2), floor, "floor", -0.2)]
    for side in (-1, 1):
        x, y = side * (width + _WALL_M) / 2, side * (depth + _WALL_M) / 2
        slabs.append((x, 0.0, (_WALL_M, depth + long, high), paint, "wall", 0.0))
        slabs.append((0.0, y, (width + long, _WALL_M, high), paint, "wall", 0.0))
    return [
        Placement(
            Body(label, size, (block((0, 0, 0), size, material, label),)),
            (*walls.to_world(x, y), z),
            walls.yaw,
        )
        for x, y, size, material, label, z in slabs
    ]


def _light(rng: np.random.Generator) -> Light:
    azimuth, elevation = float(rng.uniform(-np.pi, np.pi)), np.radians(rng.uniform(50, 80))
    strength, warmth = float(rng.uniform(0.7, 1.1)), float(rng.uniform(0.0, 0.15))
    return Light(
        direction=direction_of(azimuth, elevation),
        sun=(strength, strength * (1 - 0.5 * warmth), strength * (1 - warmth)),
        sky=(0.62, 0.61, 0.60),
        horizon=(0.80, 0.80, 0.80),
        haze_m=1e4,
        clouds=0.0,
    )

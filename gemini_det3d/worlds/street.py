"""Street scenes: a road seen from a car on it, with traffic, people, houses and decoys."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gemini_det3d.worlds import bodies, guises, props
from gemini_det3d.worlds.layout import Ground, Rectangle, Road
from gemini_det3d.worlds.materials import Material
from gemini_det3d.worlds.scene import Light, Scene, direction_of
from gemini_det3d.worlds.shapes import ball, block
from gemini_det3d.worlds.solids import Body, Placement

_MAKERS: dict[str, Callable[[np.random.Generator], Body]] = {
    "Car": bodies.make_car,
    "Van": bodies.make_van,
    "Pedestrian": bodies.make_pedestrian,
    "Cyclist": bodies.make_cyclist,
}
# No body may stand closer than this to another one, metres.
_MARGIN_M = 0.25
_TRIES = 60
# The car that carries the sensors, and the room in front of it.
_EGO = Rectangle(x=0.5, y=0.0, length=7.0, width=2.4, yaw=0.0)
_FAR_M = 170.0
_TERRAIN_Z = -0.02


@dataclass(frozen=True)
class Street:
    """What street scenes are like.

    Attributes:
        num_objects: Fewest and most road users and decoys per scene.
        num_clutter: Fewest and most pieces of clutter per scene.
        distance_m: Nearest and farthest place of road users along the road.
        field_deg: Road users stand within this angle around the front.
        shares: How often each class is drawn.
        decoy_share: Chance that a road user is a decoy: the same shape for the LiDAR, in paint
            that tells the camera otherwise, without a label. 0 switches decoys off and changes
            no shape and no place.
        random_yaw_share: Share of cars that stand at any angle.
        look_alikes: Every road user has the shape of a car, and its class shows in its paint
            only; ``shares`` then names classes of ``guises.LIVERIES``.
        close_paints: These paints are close to each other, and one class is told by its pattern.
    """

    num_objects: tuple[int, int] = (8, 13)
    num_clutter: tuple[int, int] = (10, 18)
    distance_m: tuple[float, float] = (6.5, 36.0)
    field_deg: float = 84.0
    shares: tuple[tuple[str, float], ...] = (
        ("Car", 0.54),
        ("Van", 0.06),
        ("Pedestrian", 0.23),
        ("Cyclist", 0.17),
    )
    decoy_share: float = 0.2
    random_yaw_share: float = 0.15
    look_alikes: bool = False
    close_paints: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for name in ("num_objects", "num_clutter", "distance_m"):
            low, high = getattr(self, name)
            if not 0 <= low <= high < math.inf:
                raise ValueError(f"{name}={low, high} must be two rising numbers, 0 or more")
        for name in ("decoy_share", "random_yaw_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in 0 to 1")
        known = guises.LIVERIES if self.look_alikes else _MAKERS
        unknown = [name for name, _ in self.shares if name not in known]
        if unknown:
            raise ValueError(f"shares names {unknown}, known are {list(known)}")


def sample_street(rng: np.random.Generator, street: Street | None = None) -> Scene:
    """Draw a street scene; the world's origin is the ground under the LiDAR, x the front."""
    street = Street() if street is None else street
    # Disguises have a source of their own: how many there are moves nothing else.
    disguise_rng = np.random.default_rng(rng.integers(2**63))
    road = Road(
        yaw=float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)),
        ego_side=0.0,
        half_width=float(rng.uniform(5.4, 6.2)),
        pavement=float(rng.uniform(2.6, 3.6)),
        kerb=0.12,
    )
    road = Road(**{**vars(road), "ego_side": -road.lane + float(rng.normal(0, 0.2))})
    ground = Ground()
    ground.take(_EGO, 0.0)
    background = [*_surfaces(road), *_houses(rng, road, ground)]
    things, is_labeled = _road_users(rng, disguise_rng, street, road, ground)
    background += _clutter(rng, street, road, ground)
    return Scene(tuple(things), tuple(is_labeled), tuple(background), _light(rng))


def _road_users(
    rng: np.random.Generator,
    disguise_rng: np.random.Generator,
    street: Street,
    road: Road,
    ground: Ground,
) -> tuple[list[Placement], list[bool]]:
    names, weights = zip(*street.shares)
    things, is_labeled = [], []
    for _ in range(rng.integers(street.num_objects[0], street.num_objects[1] + 1)):
        name = names[rng.choice(len(names), p=np.array(weights) / sum(weights))]
        if street.look_alikes:
            body = guises.make_look_alike(rng, name, street.close_paints)
        else:
            body = _MAKERS[name](rng)
        placement = _place_road_user(rng, body, street, road, ground)
        is_decoy = disguise_rng.random() < street.decoy_share
        disguised = guises.disguise(body, disguise_rng)
        if placement is None:
            continue
        if is_decoy:
            placement = Placement(disguised, placement.position, placement.yaw)
        things.append(placement)
        is_labeled.append(not is_decoy)
    return things, is_labeled


def _place_road_user(
    rng: np.random.Generator, body: Body, street: Street, road: Road, ground: Ground
) -> Placement | None:
    """Draw poses that suit the class until one is free and in sight; None after many."""
    draw = {"Pedestrian": _pedestrian_pose, "Cyclist": _cyclist_pose}.get(body.name, _car_pose)
    for _ in range(_TRIES):
        along = float(rng.uniform(*street.distance_m))
        side, yaw = draw(rng, street, road)
        x, y = road.to_world(along, side)
        if x < 1.0 or abs(np.degrees(np.arctan2(y, x))) > street.field_deg / 2:
            continue
        footprint = Rectangle(x, y, body.size[0], body.size[1], yaw)
        height = road.height_under(footprint)
        if height is not None and ground.take(footprint, _MARGIN_M):
            return Placement(body, (x, y, height), yaw)
    return None


def _car_pose(rng: np.random.Generator, street: Street, road: Road) -> tuple[float, float]:
    """In a lane (traffic keeps right), parked at the kerb, or anyhow; (side, yaw)."""
    hand = float(rng.choice((-1.0, 1.0)))
    mode, wobble = rng.random(), float(rng.normal(0, 1))
    turned = float(rng.uniform(-np.pi, np.pi))
    if mode < street.random_yaw_share:
        return float(rng.uniform(-1, 1)) * (road.half_width - 2.0), turned
    if mode < 0.55:
        oncoming = np.pi if hand > 0 else 0.0
        return hand * road.lane + 0.25 * wobble, road.yaw + oncoming + 0.04 * wobble
    facing = np.pi if turned > 0 else 0.0
    return hand * (road.half_width - 1.15) + 0.05 * wobble, road.yaw + facing + 0.03 * wobble


def _pedestrian_pose(rng: np.random.Generator, street: Street, road: Road) -> tuple[float, float]:
    hand = float(rng.choice((-1.0, 1.0)))
    crosses = rng.random() < 0.25
    if crosses:
        side, heading = float(rng.uniform(-1, 1)) * road.half_width, hand * np.pi / 2
    else:
        side = hand * (road.half_width + float(rng.uniform(0.5, road.pavement - 0.5)))
        heading = float(rng.choice((0.0, np.pi)))
    return side, road.yaw + heading + float(rng.normal(0, 0.35))


def _cyclist_pose(rng: np.random.Generator, street: Street, road: Road) -> tuple[float, float]:
    hand = float(rng.choice((-1.0, 1.0)))
    side = hand * (road.half_width - float(rng.uniform(0.6, 3.2)))
    heading = np.pi if hand > 0 else 0.0
    return side, road.yaw + heading + float(rng.normal(0, 0.12))


def _surfaces(road: Road) -> list[Placement]:
    """Carriageway, pavements, grass, and hills behind all."""
    tarmac = Material((0.36, 0.36, 0.37), "asphalt", (0.85, 0.85, 0.82), 0.5, reflectance=0.2)
    slabs = Material((0.60, 0.58, 0.55), "tiles", (0.42, 0.40, 0.38), 0.6, reflectance=0.3)
    grass = Material((0.25, 0.36, 0.13), "grass", (0.42, 0.48, 0.20), 0.25, reflectance=0.25)
    hill = Material((0.22, 0.32, 0.16), "leaves", (0.30, 0.40, 0.22), 6.0, reflectance=0.2)
    length = _FAR_M + 40.0
    middle = length / 2 - 40.0
    placements = [
        _lay(road, "Terrain", 200.0, 0.0, (800.0, 800.0, 1.0), grass, "terrain", _TERRAIN_Z),
        _lay(road, "Road", middle, 0.0, (length, 2 * road.half_width, 0.5), tarmac, "road", 0.0),
    ]
    for hand in (-1, 1):
        side = hand * (road.half_width + road.pavement / 2)
        size = (length, road.pavement, 0.5)
        placements.append(_lay(road, "Pavement", middle, side, size, slabs, "sidewalk", road.kerb))
    for index, (along, side, wide, high) in enumerate(
        ((250, 30, 260, 40), (230, -90, 220, 55), (240, 140, 240, 60), (300, -10, 500, 34))
    ):
        body = Body("Hill", (wide, wide, high), (ball((0, 0, 0), (wide, wide, high), hill,
                                                      "terrain"),))  # fmt: skip
        placements.append(Placement(body, (*road.to_world(along, side), -2.0), float(index)))
    return placements


def _lay(
    road: Road,
    name: str,
    along: float,
    side: float,
    size: tuple[float, float, float],
    material: Material,
    label: str,
    top: float,
) -> Placement:
    """A slab in the ground whose top is at a height."""
    body = Body(name, size, (block((0, 0, 0), size, material, label),))
    return Placement(body, (*road.to_world(along, side), top - size[2]), road.yaw)


def _houses(rng: np.random.Generator, road: Road, ground: Ground) -> list[Placement]:
    placements = []
    for hand in (-1, 1):
        along = float(rng.uniform(-25, -10))
        front = road.half_width + road.pavement + float(rng.uniform(1.5, 5.0))
        while along < _FAR_M - 20:
            width, depth = float(rng.uniform(7, 16)), float(rng.uniform(7, 11))
            side = hand * (front + float(rng.uniform(0, 1.5)) + depth / 2)
            if rng.random() < 0.8:
                x, y = road.to_world(along + width / 2, side)
                body = props.make_house(rng, width, depth)
                if ground.take(Rectangle(x, y, width, depth, road.yaw), 0.1):
                    placements.append(Placement(body, (x, y, _TERRAIN_Z), road.yaw))
            along += width + float(rng.uniform(0.3, 5.0))
    return placements


# Clutter: maker, how often, and where from the kerb outwards (share of the pavement's width;
# above 1 is the grass beyond it).
_CLUTTER = (
    (props.make_tree, 0.22, (1.15, 1.7)),
    (props.make_lamp, 0.12, (0.08, 0.12)),
    (props.make_sign, 0.08, (0.12, 0.18)),
    (props.make_bush, 0.12, (1.15, 1.7)),
    (props.make_hedge, 0.12, (1.25, 1.5)),
    (props.make_fence, 0.08, (1.08, 1.2)),
    (props.make_boxes, 0.10, (0.4, 1.4)),
    (props.make_post, 0.10, (0.15, 0.9)),
    (props.make_bin, 0.06, (0.15, 0.9)),
)


def _clutter(
    rng: np.random.Generator, street: Street, road: Road, ground: Ground
) -> list[Placement]:
    weights = np.array([weight for _, weight, _ in _CLUTTER])
    placements = []
    for _ in range(rng.integers(street.num_clutter[0], street.num_clutter[1] + 1)):
        make, _, (near, far) = _CLUTTER[rng.choice(len(_CLUTTER), p=weights / weights.sum())]
        body = make(rng)
        hand = float(rng.choice((-1.0, 1.0)))
        # Lamps reach over the road: their front points to it.
        yaw = road.yaw - hand * np.pi / 2 if body.name == "Lamp" else road.yaw
        for _ in range(_TRIES):
            out = road.half_width + float(rng.uniform(near, far)) * road.pavement
            x, y = road.to_world(float(rng.uniform(6, 60)), hand * out)
            footprint = Rectangle(x, y, body.size[0], body.size[1], yaw)
            height = road.height_under(footprint)
            if height is None and np.abs(road.sides(footprint.corners())).min() < (
                road.half_width + road.pavement
            ):
                continue
            if ground.take(footprint, _MARGIN_M):
                z = _TERRAIN_Z if height is None else height
                placements.append(Placement(body, (x, y, z), yaw))
                break
    return placements


def _light(rng: np.random.Generator) -> Light:
    azimuth, elevation = float(rng.uniform(-np.pi, np.pi)), np.radians(rng.uniform(28, 65))
    warmth, strength = float(rng.uniform(0.05, 0.3)), float(rng.uniform(1.7, 2.3))
    return Light(
        direction=direction_of(azimuth, elevation),
        sun=(strength, strength * (1 - 0.4 * warmth), strength * (1 - warmth)),
        clouds=float(rng.uniform(0.1, 0.9)),
        haze_m=float(rng.uniform(500, 1500)),
    )

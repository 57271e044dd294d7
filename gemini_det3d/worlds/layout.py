"""Room on the ground: rectangles that must not touch, and the road that gives them directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gemini_det3d.worlds.solids import yaw_matrix


@dataclass(frozen=True)
class Rectangle:
    """A footprint on the ground, turned by ``yaw``; world, metres."""

    x: float
    y: float
    length: float
    width: float
    yaw: float

    def corners(self) -> np.ndarray:
        """``(4, 2)`` in order around the rectangle."""
        half = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [self.length / 2, self.width / 2]
        return half @ yaw_matrix(self.yaw)[:2, :2].T + [self.x, self.y]

    def touches(self, other: Rectangle, margin: float = 0.0) -> bool:
        """Whether two rectangles come closer than ``margin`` (by separating axes).

        Args:
            other: The other one.
            margin: Metres; corners may then be reported a little too early, never too late.

        Returns:
            Whether no side of either one separates them.
        """
        reach = np.hypot(self.length, self.width) + np.hypot(other.length, other.width)
        if np.hypot(self.x - other.x, self.y - other.y) > reach / 2 + margin:
            return False
        mine, theirs = self.corners(), other.corners()
        for yaw in (self.yaw, self.yaw + np.pi / 2, other.yaw, other.yaw + np.pi / 2):
            axis = np.array([np.cos(yaw), np.sin(yaw)])
            a, b = mine @ axis, theirs @ axis
            if a.max() + margin < b.min() or b.max() + margin < a.min():
                return False
        return True


class Ground:
    """Keeps what is taken; nothing that was placed through it interpenetrates."""

    def __init__(self) -> None:
        self._taken: list[Rectangle] = []

    def take(self, rectangle: Rectangle, margin: float) -> bool:
        """Reserve a place if it is free.

        Args:
            rectangle: The place.
            margin: Distance to keep from everything else, metres.

        Returns:
            Whether it was free and is now taken.
        """
        if any(rectangle.touches(other, margin) for other in self._taken):
            return False
        self._taken.append(rectangle)
        return True


@dataclass(frozen=True)
class Road:
    """A straight road with pavements; ``along`` it and ``side`` (left positive) are its axes.

    Attributes:
        yaw: Direction of the road in the world, radians.
        ego_side: Where the world's origin lies, metres left of the middle line.
        half_width: Half of the carriageway, metres.
        pavement: Width of each pavement, metres.
        kerb: Height of the pavements, metres.
    """

    yaw: float
    ego_side: float
    half_width: float
    pavement: float
    kerb: float

    @property
    def lane(self) -> float:
        """Distance of the lanes' middles from the middle line; a parking strip lies outside."""
        return 0.29 * self.half_width

    def to_world(self, along: float, side: float) -> tuple[float, float]:
        """Road coordinates -> world x, y.

        Args:
            along: Metres.
            side: Metres.

        Returns:
            x, y in metres.
        """
        x, y, _ = yaw_matrix(self.yaw) @ [along, side - self.ego_side, 0.0]
        return float(x), float(y)

    def sides(self, points: np.ndarray) -> np.ndarray:
        """How far left of the middle line points are.

        Args:
            points: ``(N, 2)`` world x, y.

        Returns:
            ``(N,)`` metres.
        """
        return points @ [-np.sin(self.yaw), np.cos(self.yaw)] + self.ego_side

    def height_under(self, rectangle: Rectangle) -> float | None:
        """Height of the surface that a footprint stands on.

        Returns:
            0 on the carriageway, ``kerb`` on a pavement, None across an edge or beyond.
        """
        sides = self.sides(rectangle.corners())
        low, high = np.abs(sides).min(), np.abs(sides).max()
        if high < self.half_width:
            return 0.0
        one_sided = (sides > 0).all() or (sides < 0).all()
        if one_sided and low > self.half_width and high < self.half_width + self.pavement:
            return self.kerb
        return None

"""What the world is made of: solids with a pose, a size, a material and a meaning.

A solid is a box (which may taper towards its top), an ellipsoid or an upright cylinder in its own
frame, centred on 0, then rotated and moved. A ``Part`` is one solid of a body (the roof of a
car); ``Solids`` holds every part of a scene as arrays, the only thing that rays ever see.

Frames: x front, y left, z up; metres and radians. ``world`` stands for the frame of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gemini_det3d.worlds.materials import Material

BOX, ELLIPSOID, CYLINDER = 0, 1, 2

# Bounds are this much wider than what they hold, so that rounding never cuts a solid off.
_ROUNDING_M = 1e-6


@dataclass(frozen=True)
class Part:
    """One solid of a body.

    Attributes:
        shape: ``BOX``, ``ELLIPSOID`` or ``CYLINDER`` (its axis is the local z).
        center: Centre in the body's frame, metres.
        size: Full extents along the local axes, metres.
        material: What it looks like to a camera and to a LiDAR.
        label: Name of its semantic class.
        rotation: ``(3, 3)`` local axes -> the body's axes.
        taper: Boxes only: by which share the x and y extents shrink from bottom to top, [0, 1).
    """

    shape: int
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    material: Material
    label: str
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    taper: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Body:
    """A thing made of parts; x is its front, and it stands on z = 0, centred on x = y = 0.

    Attributes:
        name: Class name (``Car``) or kind (``Tree``).
        size: Length, width, height of the upright box that holds all parts, metres.
        parts: Its solids.
    """

    name: str
    size: tuple[float, float, float]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Placement:
    """A body at a pose in the world.

    Attributes:
        body: What stands there.
        position: Where the centre of its bottom is, metres.
        yaw: Rotation from +x towards +y, radians.
    """

    body: Body
    position: tuple[float, float, float]
    yaw: float

    @property
    def box(self) -> np.ndarray:
        """``(7,)`` x, y, z of the bottom centre, length, width, height, yaw."""
        return np.array([*self.position, *self.body.size, self.yaw])


@dataclass(frozen=True)
class Solids:
    """P solids in G groups, ready for rays; a group is one body and its solids are neighbours.

    Attributes:
        shape: ``(P,)`` int64.
        center: ``(P, 3)`` in the world.
        half_size: ``(P, 3)`` half extents along the local axes.
        rotation: ``(P, 3, 3)`` local axes -> world axes.
        taper: ``(P, 2)``.
        radius: ``(P,)`` of a sphere around the centre that holds the solid.
        group: ``(P,)`` int64, the body it belongs to.
        group_start: ``(G + 1,)`` int64, first solid of each group, and P.
        group_bounds: ``(G, 6)`` lowest and highest x, y, z of each group in the world.
        material: ``(P,)`` int64, index into the scene's materials.
        label: ``(P,)`` int64, index into the scene's label names.
    """

    shape: np.ndarray
    center: np.ndarray
    half_size: np.ndarray
    rotation: np.ndarray
    taper: np.ndarray
    radius: np.ndarray
    group: np.ndarray
    group_start: np.ndarray
    group_bounds: np.ndarray
    material: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        """Number of solids."""
        return len(self.shape)

    def groups(self, index: Sequence[int]) -> Solids:
        """The solids of some bodies alone.

        Args:
            index: Groups to keep, in the order wanted.

        Returns:
            New Solids; group ``i`` of it is ``index[i]`` of this one.
        """
        ranges = [np.arange(self.group_start[g], self.group_start[g + 1]) for g in index]
        picked = np.concatenate(ranges) if ranges else np.zeros(0, dtype=np.int64)
        counts = np.array([len(r) for r in ranges], dtype=np.int64)
        return Solids(
            **{name: getattr(self, name)[picked] for name in _PER_SOLID},
            group=np.repeat(np.arange(len(counts)), counts),
            group_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            group_bounds=self.group_bounds[np.asarray(index, dtype=np.int64)],
        )


_PER_SOLID = ("shape", "center", "half_size", "rotation", "taper", "radius", "material", "label")


def stack_solids(
    placements: Sequence[Placement],
) -> tuple[Solids, tuple[Material, ...], tuple[str, ...]]:
    """Bodies at their poses -> arrays.

    Args:
        placements: G bodies; each becomes one group.

    Returns:
        The solids, the materials and the label names that they point to.
    """
    parts = [part for placement in placements for part in placement.body.parts]
    counts = [len(placement.body.parts) for placement in placements]
    group = np.repeat(np.arange(len(placements)), counts)
    turn = np.array([yaw_matrix(p.yaw) for p in placements]).reshape(-1, 3, 3)[group]
    origin = np.array([p.position for p in placements], dtype=np.float64).reshape(-1, 3)[group]
    local_center = np.array([part.center for part in parts], dtype=np.float64).reshape(-1, 3)
    center = origin + np.einsum("pij,pj->pi", turn, local_center)
    rotation = turn @ np.array([part.rotation for part in parts]).reshape(-1, 3, 3)
    half_size = np.array([part.size for part in parts], dtype=np.float64).reshape(-1, 3) / 2
    materials = tuple(dict.fromkeys(part.material for part in parts))
    labels = tuple(dict.fromkeys(part.label for part in parts))
    material_index = {material: index for index, material in enumerate(materials)}
    label_index = {label: index for index, label in enumerate(labels)}
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    shape = np.array([part.shape for part in parts], dtype=np.int64)
    solids = Solids(
        shape=shape,
        center=center,
        half_size=half_size,
        rotation=np.ascontiguousarray(rotation),
        taper=np.array([part.taper for part in parts], dtype=np.float64).reshape(-1, 2),
        radius=np.where(
            shape == ELLIPSOID,
            half_size.max(axis=1, initial=0.0),
            np.linalg.norm(half_size, axis=1),
        ),
        group=group,
        group_start=start,
        group_bounds=_group_bounds(center, half_size, rotation, start),
        material=np.array([material_index[part.material] for part in parts], dtype=np.int64),
        label=np.array([label_index[part.label] for part in parts], dtype=np.int64),
    )
    return solids, materials, labels


def yaw_matrix(yaw: float) -> np.ndarray:
    """Rotation around z.

    Args:
        yaw: Radians, from +x towards +y.

    Returns:
        ``(3, 3)``.
    """
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def pitch_matrix(pitch: float) -> np.ndarray:
    """Rotation around y.

    Args:
        pitch: Radians, from +z towards +x: an upright pole leans forward.

    Returns:
        ``(3, 3)``.
    """
    cos, sin = np.cos(pitch), np.sin(pitch)
    return np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])


def _group_bounds(
    center: np.ndarray, half_size: np.ndarray, rotation: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """``(G, 6)`` world bounds; every shape lies inside the box of its half extents."""
    reach = np.einsum("pij,pj->pi", np.abs(rotation), half_size) + _ROUNDING_M
    if len(start) == 1:
        return np.zeros((0, 6))
    if (np.diff(start) == 0).any():
        raise ValueError("a body needs at least one part")
    low = np.minimum.reduceat(center - reach, start[:-1], axis=0)
    high = np.maximum.reduceat(center + reach, start[:-1], axis=0)
    return np.concatenate([low, high], axis=1)

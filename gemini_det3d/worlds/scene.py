"""A scene: solids, materials, light, and which of the bodies are things with a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gemini_det3d.worlds.materials import Color, Material, MaterialTable
from gemini_det3d.worlds.solids import Placement, Solids, stack_solids


@dataclass(frozen=True)
class Light:
    """A far sun, an even sky, and air that pales what is far away.

    Attributes:
        direction: ``(3,)`` unit vector towards the sun, world.
        sun: Linear RGB of full sunlight on a surface that faces it.
        sky: Linear RGB of the light from above.
        horizon: Linear RGB of the sky at the horizon, and of far haze.
        haze_m: Distance over which haze takes 63 % of the contrast.
        clouds: Share of the sky that is cloud, 0 to 1.
    """

    direction: tuple[float, float, float]
    sun: Color = (1.7, 1.62, 1.45)
    sky: Color = (0.38, 0.42, 0.51)
    horizon: Color = (0.80, 0.92, 1.08)
    haze_m: float = 800.0
    clouds: float = 0.4


def direction_of(azimuth: float, elevation: float) -> tuple[float, float, float]:
    """Unit vector of two angles, radians: from +x towards +y, and upwards."""
    flat = np.cos(elevation)
    return (
        float(flat * np.cos(azimuth)),
        float(flat * np.sin(azimuth)),
        float(np.sin(elevation)),
    )


@dataclass(frozen=True)
class Scene:
    """Everything that sensors may ask about; nothing in it depends on a sensor.

    Attributes:
        things: T bodies that have an instance id (their index here) and a box.
        is_labeled: For each thing, whether annotators would label it; decoys are not.
        background: All other bodies: ground, buildings, clutter.
        light: What lights it.
    """

    things: tuple[Placement, ...]
    is_labeled: tuple[bool, ...]
    background: tuple[Placement, ...]
    light: Light

    def __post_init__(self) -> None:
        """Refuse lists that disagree."""
        if len(self.things) != len(self.is_labeled):
            raise ValueError(f"{len(self.things)} things, {len(self.is_labeled)} label flags")

    @cached_property
    def _arrays(self) -> tuple[Solids, tuple[Material, ...], tuple[str, ...]]:
        return stack_solids([*self.things, *self.background])

    @property
    def solids(self) -> Solids:
        """All solids; groups 0 to T - 1 are the things, in order."""
        return self._arrays[0]

    @cached_property
    def materials(self) -> MaterialTable:
        """The materials that ``solids.material`` points to."""
        return MaterialTable.of(self._arrays[1])

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the semantic classes that ``solids.label`` points to."""
        return self._arrays[2]

    @cached_property
    def boxes(self) -> np.ndarray:
        """``(T, 7)`` boxes of the things: x, y, z of the bottom centre, l, w, h, yaw; world."""
        return np.array([thing.box for thing in self.things]).reshape(-1, 7)

    @property
    def names(self) -> list[str]:
        """T names of the things' bodies."""
        return [thing.body.name for thing in self.things]

    def instance_of(self, solid: np.ndarray) -> np.ndarray:
        """Which thing a solid belongs to.

        Args:
            solid: Indices of solids, -1 for none; any shape.

        Returns:
            int64 index of the thing, -1 for background and none.
        """
        group = np.where(solid >= 0, self.solids.group[solid], -1)
        return np.where(group < len(self.things), group, -1)

    def label_of(self, solid: np.ndarray, names: Sequence[str], missing: int = 255) -> np.ndarray:
        """Semantic class of a solid in a given list of classes.

        Args:
            solid: Indices of solids, -1 for none; any shape.
            names: Class names; an index into it is the answer.
            missing: The answer for no solid and for classes that ``names`` lacks.

        Returns:
            int64 class ids.
        """
        lookup = [names.index(n) if n in names else missing for n in self.label_names]
        table = np.array([*lookup, missing], dtype=np.int64)
        return table[np.where(solid >= 0, self.solids.label[solid], len(lookup))]

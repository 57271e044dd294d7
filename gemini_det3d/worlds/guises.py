"""Bodies in a guise: decoys in paint that no road user wears, and classes that only paint tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gemini_det3d.worlds.bodies import make_car
from gemini_det3d.worlds.materials import Material, repaint
from gemini_det3d.worlds.solids import Body

# What decoys are painted with: hedge, cardboard, sandstone, bronze.
_DISGUISES: tuple[Material, ...] = (
    Material((0.16, 0.34, 0.10), "leaves", (0.38, 0.55, 0.18), period_m=0.16),
    Material((0.66, 0.48, 0.29), "cardboard", (0.80, 0.68, 0.48), period_m=0.6),
    Material((0.66, 0.62, 0.52), "stone", (0.48, 0.45, 0.38), period_m=0.4),
    Material((0.40, 0.29, 0.15), "stone", (0.25, 0.40, 0.32), period_m=0.5, gloss=0.15),
)

# What tells look-alikes apart: names that KITTI's tools know, and the only paint each wears.
LIVERIES: dict[str, Material] = {
    "Car": Material((0.78, 0.08, 0.08)),
    "Truck": Material((0.08, 0.22, 0.70)),
    "Tram": Material((0.92, 0.76, 0.10)),
}
# Harder: two reds that are close, and one of them under a net of lines in the other.
CLOSE_LIVERIES: dict[str, Material] = {
    "Car": Material((0.62, 0.14, 0.10)),
    "Truck": Material((0.68, 0.32, 0.10)),
    "Tram": Material((0.62, 0.14, 0.10), "brick", (0.90, 0.62, 0.30), period_m=0.9),
}


def make_look_alike(rng: np.random.Generator, name: str, with_close_paints: bool = False) -> Body:
    """A body of the shape of a car whose class shows in its paint only.

    Which class it is changes neither what is drawn from ``rng`` nor what a LiDAR measures.

    Args:
        rng: Draws size, form, reflectance and shade, alike for all classes.
        name: One of ``LIVERIES``.
        with_close_paints: Whether it wears the one of ``CLOSE_LIVERIES``.
    """
    liveries = CLOSE_LIVERIES if with_close_paints else LIVERIES
    return replace(make_car(rng, liveries[name]), name=name)


def disguise(body: Body, rng: np.random.Generator) -> Body:
    """A decoy: to a LiDAR the very same body, to a camera hedge, cardboard, stone or bronze.

    Returns:
        A body named ``Decoy`` with the semantic class ``clutter``.
    """
    paint = _DISGUISES[rng.integers(len(_DISGUISES))]
    parts = (
        replace(part, material=repaint(part.material, paint), label="clutter")
        for part in body.parts
    )
    return replace(body, name="Decoy", parts=tuple(parts))

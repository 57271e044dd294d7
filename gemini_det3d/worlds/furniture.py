"""Furniture made of parts; some classes share their shapes and differ in paint alone.

A table and a desk are drawn by one maker, a dresser and a night stand by another, with the same
distributions of sizes: points without colour cannot tell them apart. Tables and night stands wear
warm wood, desks and dressers cool paint. A body faces +x and never reaches out of its box.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gemini_det3d.worlds.materials import Color, Material
from gemini_det3d.worlds.shapes import ball, block, column
from gemini_det3d.worlds.solids import Body

_WOODS: tuple[Color, ...] = ((0.62, 0.38, 0.18), (0.74, 0.46, 0.22), (0.52, 0.28, 0.14))
_PAINTS: tuple[Color, ...] = ((0.20, 0.42, 0.66), (0.16, 0.52, 0.52), (0.30, 0.36, 0.70))
_CLOTHES: tuple[Color, ...] = (
    (0.70, 0.20, 0.22),
    (0.35, 0.52, 0.30),
    (0.80, 0.68, 0.40),
    (0.50, 0.34, 0.56),
    (0.72, 0.72, 0.70),
)
_SHEET = Material((0.88, 0.88, 0.86), "cloth", period_m=0.1)
_METAL = Material((0.45, 0.46, 0.48), gloss=0.3)


def make_bed(rng: np.random.Generator) -> Body:
    """A bed; its head is at -x."""
    length, width, height = _size(rng, (2.0, 1.4, 0.95), 0.1)
    wood, cover = _wood(rng), _cloth(rng)
    lying, base = length - 0.08, 0.28
    parts = (
        block((-length / 2 + 0.04, 0, 0), (0.08, width, height), wood, "bed"),
        block((0.04, 0, 0), (lying, width - 0.04, base), wood, "bed"),
        block((0.04, 0, base), (lying - 0.04, width - 0.06, 0.22), _SHEET, "bed"),
        block((0.18 * length, 0, base + 0.22), (0.6 * length, width - 0.04, 0.06), cover, "bed"),
        *(
            block((-0.36 * length, side * 0.24 * width, base + 0.22),
                  (0.32, 0.38 * width, 0.12), _SHEET, "bed", (0.2, 0.1))
            for side in (-1, 1)
        ),
    )  # fmt: skip
    return Body("bed", (length, width, height), parts)


def make_chair(rng: np.random.Generator) -> Body:
    """A chair; its back is at -x."""
    length, width, height = _size(rng, (0.54, 0.52, 0.92), 0.08)
    leg, seat, cover = _wood(rng), 0.5 * height, _cloth(rng)
    parts = [
        block((0, 0, seat - 0.07), (length, width, 0.07), cover, "chair"),
        block((-length / 2 + 0.04, 0, seat), (0.08, width - 0.04, height - seat), cover, "chair"),
        *_legs(length, width, seat - 0.07, 0.05, leg, "chair"),
    ]
    return Body("chair", (length, width, height), tuple(parts))


def make_plant(rng: np.random.Generator) -> Body:
    """A potted plant: clutter."""
    wide, high = float(rng.uniform(0.35, 0.6)), float(rng.uniform(0.8, 1.4))
    pot = Material((0.66, 0.36, 0.24))
    leaves = Material((0.15, 0.33, 0.10), "leaves", (0.40, 0.56, 0.20), 0.1)
    parts = (
        column((0, 0, 0), (0.28, 0.28, 0.3), pot, "clutter"),
        ball((0, 0, 0.3 + (high - 0.3) / 2), (wide, wide, high - 0.3), leaves, "clutter"),
    )
    return Body("Plant", (wide, wide, high), parts)


FURNITURE: dict[str, Callable[[np.random.Generator], Body]] = {
    "bed": make_bed,
    "chair": make_chair,
    "table": lambda rng: _make_table("table", rng, _wood(rng)),
    "desk": lambda rng: _make_table("desk", rng, _paint(rng)),
    "dresser": lambda rng: _make_chest("dresser", rng, _paint(rng)),
    "night_stand": lambda rng: _make_chest("night_stand", rng, _wood(rng)),
}


def _make_table(name: str, rng: np.random.Generator, surface: Material) -> Body:
    length, width, height = _size(rng, (0.75, 1.3, 0.75), 0.1)
    parts = [
        block((0, 0, height - 0.05), (length, width, 0.05), surface, name),
        *_legs(length, width, height - 0.05, 0.07, surface, name),
    ]
    return Body(name, (length, width, height), tuple(parts))


def _make_chest(name: str, rng: np.random.Generator, surface: Material) -> Body:
    length, width, height = _size(rng, (0.5, 0.75, 0.7), 0.12)
    front, drawer = length / 2 - 0.03, (height - 0.06) / 2
    parts = [block((-0.02, 0, 0), (length - 0.04, width, height), surface, name)]
    for row in range(2):
        z = 0.04 + row * drawer
        parts.append(block((front, 0, z), (0.03, width - 0.06, drawer - 0.03), surface, name))
        parts.append(block((front + 0.02, 0, z + drawer / 2), (0.02, 0.12, 0.02), _METAL, name))
    return Body(name, (length, width, height), tuple(parts))


def _legs(length: float, width: float, height: float, thick: float, surface: Material, label: str):
    for x in (-1, 1):
        for y in (-1, 1):
            place = (x * (length - thick) / 2, y * (width - thick) / 2, 0.0)
            yield block(place, (thick, thick, height), surface, label)


def _size(
    rng: np.random.Generator, mean: tuple[float, float, float], spread: float
) -> tuple[float, float, float]:
    length, width, height = (float(v) for v in mean * rng.uniform(1 - spread, 1 + spread, 3))
    return length, width, height


def _wood(rng: np.random.Generator) -> Material:
    color = _WOODS[rng.integers(len(_WOODS))]
    red, green, blue = (float(0.7 * value) for value in color)
    return Material(color, "bark", (red, green, blue), period_m=0.25)


def _paint(rng: np.random.Generator) -> Material:
    return Material(_PAINTS[rng.integers(len(_PAINTS))], gloss=0.1)


def _cloth(rng: np.random.Generator) -> Material:
    return Material(_CLOTHES[rng.integers(len(_CLOTHES))], "cloth", period_m=0.08)

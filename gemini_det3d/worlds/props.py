"""What else stands along a street: houses, trees, lamps, hedges, and clutter on the pavement."""

from __future__ import annotations

import numpy as np

from gemini_det3d.worlds.materials import Color, Material
from gemini_det3d.worlds.shapes import ball, block, column, limb
from gemini_det3d.worlds.solids import Body

_WALLS: tuple[Color, ...] = (
    (0.78, 0.70, 0.58),
    (0.74, 0.48, 0.38),
    (0.70, 0.70, 0.68),
    (0.80, 0.74, 0.50),
    (0.60, 0.66, 0.72),
    (0.82, 0.78, 0.72),
)
_ROOF = Material((0.42, 0.20, 0.15), "brick", (0.30, 0.13, 0.10), period_m=0.6, reflectance=0.25)
_BARK = Material((0.30, 0.22, 0.15), "bark", (0.18, 0.13, 0.09), period_m=0.2, reflectance=0.25)
_METAL = Material((0.30, 0.33, 0.35), gloss=0.3, reflectance=0.35)
_WHITE_METAL = Material((0.85, 0.85, 0.83), gloss=0.2, reflectance=0.6)
_SIGN = Material((0.10, 0.25, 0.70), gloss=0.2, glow=0.1, reflectance=0.95)
_CARDBOARD = Material(
    (0.66, 0.48, 0.29), "cardboard", (0.80, 0.68, 0.48), period_m=0.6, reflectance=0.4
)
_CONCRETE = Material((0.62, 0.61, 0.58), "stone", (0.5, 0.5, 0.47), period_m=0.5, reflectance=0.3)
_WOOD = Material((0.48, 0.33, 0.20), "bark", (0.36, 0.24, 0.14), period_m=0.3, reflectance=0.3)


def make_house(rng: np.random.Generator, width: float, depth: float) -> Body:
    """A house with rows of windows; x points along the street.

    Args:
        rng: Draws height, roof and colour.
        width: Along the street, metres.
        depth: Away from it, metres.
    """
    storey = float(rng.uniform(2.8, 3.3))
    height = storey * float(rng.integers(2, 5))
    wall = Material(
        _shade(rng, _WALLS[rng.integers(len(_WALLS))], 0.08),
        "facade",
        (0.10, 0.13, 0.17),
        period_m=storey,
        reflectance=float(rng.uniform(0.2, 0.45)),
        dropout=0.02,
    )
    roof_height = float(rng.uniform(1.5, 3.0))
    parts = (
        block((0, 0, 0), (width, depth, height), wall, "building"),
        block((0, 0, height), (width, depth, roof_height), _ROOF, "building", (0.05, 0.9)),
    )
    return Body("House", (width, depth, height + roof_height), parts)


def make_tree(rng: np.random.Generator) -> Body:
    """A street tree; only its trunk stands within reach of traffic, and is what its size says."""
    trunk, crown = float(rng.uniform(2.4, 3.0)), float(rng.uniform(2.4, 3.6))
    leaves = _leaves(rng)
    parts = [column((0, 0, 0), (0.28, 0.28, trunk + 0.5), _BARK, "vegetation")]
    for _ in range(4):
        x, y, z = rng.uniform(-0.5, 0.5, 3) * [crown * 0.6, crown * 0.6, 1.2]
        size = float(crown * rng.uniform(0.6, 0.8))
        center = (float(x), float(y), trunk + 0.5 * crown + float(z))
        parts.append(ball(center, (size, size, 0.9 * size), leaves, "vegetation"))
    return Body("Tree", (0.5, 0.5, trunk + 2 * crown), tuple(parts))


def make_lamp(rng: np.random.Generator) -> Body:
    """A street lamp; its arm points to +x."""
    height = float(rng.uniform(5.0, 6.5))
    shine = Material((1.0, 0.97, 0.85), glow=0.3, reflectance=0.4)
    parts = (
        column((0, 0, 0), (0.16, 0.16, height), _METAL, "pole"),
        limb((0, 0, height - 0.05), (1.3, 0, height + 0.25), 0.09, _METAL, "pole"),
        block((1.3, 0, height + 0.15), (0.6, 0.2, 0.12), shine, "pole"),
    )
    return Body("Lamp", (0.4, 0.4, height), parts)


def make_sign(rng: np.random.Generator) -> Body:
    """A traffic sign that faces -x."""
    height = float(rng.uniform(2.2, 2.6))
    parts = (
        column((0, 0, 0), (0.07, 0.07, height), _METAL, "pole"),
        block((-0.06, 0, height - 0.65), (0.03, 0.6, 0.6), _SIGN, "pole"),
        block((-0.09, 0, height - 0.42), (0.02, 0.42, 0.14), _WHITE_METAL, "pole"),
    )
    return Body("Sign", (0.3, 0.7, height), parts)


def make_bush(rng: np.random.Generator) -> Body:
    """A round bush."""
    leaves = _leaves(rng)
    wide, high = float(rng.uniform(0.8, 1.6)), float(rng.uniform(0.7, 1.5))
    parts = [ball((0, 0, 0.45 * high), (wide, wide, high), leaves, "vegetation")]
    for _ in range(2):
        x, y = rng.uniform(-0.25, 0.25, 2) * wide
        size = 0.6 * wide
        center = (float(x), float(y), 0.35 * high)
        parts.append(ball(center, (size, size, 0.8 * high), leaves, "vegetation"))
    return Body("Bush", (1.1 * wide, 1.1 * wide, high), tuple(parts))


def make_hedge(rng: np.random.Generator) -> Body:
    """A clipped hedge, long in x."""
    size = tuple(float(v) for v in rng.uniform((2.5, 0.7, 0.9), (6.0, 1.2, 1.7)))
    return Body("Hedge", size, (block((0, 0, 0), size, _leaves(rng), "vegetation", (0.02, 0.1)),))


def make_boxes(rng: np.random.Generator) -> Body:
    """A pile of cardboard boxes, from a person's width to a small car's."""
    length, width, height = (float(v) for v in rng.uniform((0.6, 0.5, 0.7), (2.6, 1.4, 1.6)))
    lower = height * float(rng.uniform(0.5, 0.7))
    upper = (0.6 * length, 0.8 * width, height - lower)
    shift = float(rng.uniform(-0.15, 0.15)) * length
    parts = (
        block((0, 0, 0), (length, width, lower), _CARDBOARD, "clutter"),
        block((shift, 0, lower), upper, _CARDBOARD, "clutter"),
    )
    return Body("Boxes", (length, width, height), parts)


def make_post(rng: np.random.Generator) -> Body:
    """An advertising pillar or thick post of about a person's size."""
    wide, high = float(rng.uniform(0.35, 0.6)), float(rng.uniform(1.4, 1.9))
    surface = (_CONCRETE, _WOOD, _METAL)[rng.integers(3)]
    parts = (
        column((0, 0, 0), (wide, wide, high - 0.12), surface, "pole"),
        ball((0, 0, high - 0.15), (wide, wide, 0.3), surface, "pole"),
    )
    return Body("Post", (wide, wide, high), parts)


def make_bin(rng: np.random.Generator) -> Body:
    """A waste bin."""
    green = Material(_shade(rng, (0.16, 0.30, 0.22), 0.3), gloss=0.15, reflectance=0.3)
    high = float(rng.uniform(0.9, 1.2))
    parts = (
        block((0, 0, 0), (0.55, 0.62, high - 0.08), green, "clutter"),
        block((0, 0, high - 0.08), (0.62, 0.66, 0.08), _METAL, "clutter"),
    )
    return Body("Bin", (0.65, 0.7, high), parts)


def make_fence(rng: np.random.Generator) -> Body:
    """A wooden fence, long in x."""
    length, height = float(rng.uniform(3, 7)), float(rng.uniform(0.9, 1.5))
    parts = [
        block((0, 0, z * height), (length, 0.05, 0.16), _WOOD, "fence") for z in (0.15, 0.45, 0.75)
    ]
    for x in np.linspace(-length / 2 + 0.05, length / 2 - 0.05, int(length / 1.2) + 2):
        parts.append(block((float(x), 0, 0), (0.09, 0.09, height), _WOOD, "fence"))
    return Body("Fence", (length, 0.2, height), tuple(parts))


def _leaves(rng: np.random.Generator) -> Material:
    dark = _shade(rng, (0.15, 0.33, 0.10), 0.25)
    bright = _shade(rng, (0.40, 0.56, 0.20), 0.2)
    grain = float(rng.uniform(0.12, 0.3))
    return Material(dark, "leaves", bright, grain, reflectance=0.3, dropout=0.12)


def _shade(rng: np.random.Generator, color: Color, spread: float) -> Color:
    """A colour near another."""
    red, green, blue = np.clip(np.array(color) * rng.uniform(1 - spread, 1 + spread, 3), 0, 1)
    return (float(red), float(green), float(blue))

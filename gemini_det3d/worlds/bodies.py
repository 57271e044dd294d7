"""Road users, made of parts.

Mean sizes are those of KITTI's anchors (length x width x height): Car 3.9 x 1.6 x 1.56,
Pedestrian 0.8 x 0.6 x 1.73, Cyclist 1.76 x 0.6 x 1.73. A body never reaches out of its box.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gemini_det3d.worlds.materials import Color, Material
from gemini_det3d.worlds.shapes import ball, block, column, limb, wheel
from gemini_det3d.worlds.solids import Body, Part

# No green, brown or stone: those are the colours of decoys.
_CAR_PAINTS: tuple[Color, ...] = (
    (0.86, 0.87, 0.88),
    (0.93, 0.93, 0.92),
    (0.10, 0.10, 0.12),
    (0.62, 0.64, 0.68),
    (0.72, 0.07, 0.08),
    (0.10, 0.20, 0.55),
    (0.15, 0.38, 0.72),
    (0.90, 0.72, 0.10),
    (0.85, 0.36, 0.08),
    (0.35, 0.05, 0.12),
)
_CLOTHES: tuple[Color, ...] = (
    (0.80, 0.12, 0.14),
    (0.12, 0.25, 0.65),
    (0.90, 0.75, 0.15),
    (0.92, 0.92, 0.90),
    (0.55, 0.15, 0.50),
    (0.95, 0.45, 0.15),
    (0.10, 0.55, 0.70),
    (0.88, 0.50, 0.62),
)
_TROUSERS: tuple[Color, ...] = ((0.12, 0.14, 0.22), (0.20, 0.27, 0.42), (0.08, 0.08, 0.09))
_SKINS: tuple[Color, ...] = ((0.88, 0.68, 0.56), (0.72, 0.50, 0.37), (0.45, 0.29, 0.20))
_HAIRS: tuple[Color, ...] = ((0.10, 0.07, 0.05), (0.30, 0.17, 0.08), (0.72, 0.55, 0.28))
_HELMETS: tuple[Color, ...] = ((0.95, 0.95, 0.95), (0.85, 0.15, 0.12), (0.12, 0.35, 0.80))

_TYRE = Material((0.05, 0.05, 0.06), reflectance=0.08, dropout=0.10)
_LAMP = Material((0.97, 0.96, 0.90), gloss=0.6, glow=0.35, reflectance=0.75)
_TAIL = Material((0.75, 0.04, 0.05), gloss=0.4, glow=0.45, reflectance=0.80)
_PLATE = Material((0.93, 0.93, 0.90), glow=0.05, reflectance=0.95)
_GRILLE = Material((0.06, 0.06, 0.07), gloss=0.2, reflectance=0.12)
_GLASS: Color = (0.08, 0.11, 0.14)


def make_car(rng: np.random.Generator, livery: Material | None = None) -> Body:
    """A passenger car: hatchback to saloon.

    Args:
        rng: Draws size, form and paint.
        livery: Colour and pattern instead of those drawn; nothing else changes by it.
    """
    length, width, height = _size(rng, (3.88, 1.63, 1.53), (0.22, 0.07, 0.07))
    drawn = _pick(rng, _CAR_PAINTS)
    paint = _paint(rng, livery.color if livery else drawn, gloss=0.7)
    if livery is not None:
        pattern, second, period_m = livery.pattern, livery.second, livery.period_m
        paint = replace(paint, pattern=pattern, second=second, period_m=period_m)
    tail = rng.uniform(0.0, 1.0)  # 0: hatchback, its cabin reaches the rear; 1: saloon
    waist, roof_at = 0.56 * height, height - 0.05
    cabin_length, cabin_width = (0.66 - 0.10 * tail) * length, 0.92 * width
    cabin_x = (-0.5 + 0.02 + 0.11 * tail) * length + cabin_length / 2
    taper = (rng.uniform(0.30, 0.40), 0.20)
    glass = _glazing(paint)
    roof = (cabin_length * (1 - taper[0]), cabin_width * (1 - taper[1]), height - roof_at)
    parts = [
        *_wheels(length, width, diameter=0.40 * height, label="car"),
        block((0, 0, 0.20), (length - 0.03, width - 0.03, 0.30), paint, "car"),
        block((0, 0, 0.50), (length - 0.03, width - 0.03, waist - 0.50), paint, "car", (0.04, 0.1)),
        block((cabin_x, 0, waist), (cabin_length, cabin_width, roof_at - waist), glass, "car",
              taper),
        block((cabin_x, 0, roof_at), roof, paint, "car"),
        *_lights(length, width, height=0.40 * height, label="car"),
    ]  # fmt: skip
    return Body("Car", (length, width, height), tuple(parts))


def make_van(rng: np.random.Generator) -> Body:
    """A delivery van."""
    length, width, height = _size(rng, (5.1, 1.92, 2.2), (0.3, 0.06, 0.12))
    paint = _paint(rng, _pick(rng, _CAR_PAINTS), gloss=0.5)
    hood = 0.19 * length
    cargo = length - hood - 0.03
    front = length / 2 - hood
    glass = _glazing(paint)
    parts = [
        *_wheels(length, width, diameter=0.70, label="van"),
        block((-hood / 2, 0, 0.25), (cargo, width, height - 0.25), paint, "van", (0.0, 0.08)),
        block((0, 0, 0.25), (length - 0.03, width - 0.02, 0.24 * height), paint, "van"),
        block((front, 0, 0.24 * height + 0.25), (2 * hood - 0.06, width - 0.04, 0.18 * height),
              paint, "van", (0.2, 0.04)),
        block((front, 0, 0.42 * height + 0.25), (1.5 * hood, 0.92 * width, 0.40 * height), glass,
              "van", (0.75, 0.1)),
        *_lights(length, width, height=0.32 * height, label="van"),
    ]  # fmt: skip
    return Body("Van", (length, width, height), tuple(parts))


def make_pedestrian(rng: np.random.Generator) -> Body:
    """A person in mid-stride."""
    length, width, height = _size(rng, (0.80, 0.62, 1.75), (0.08, 0.05, 0.07))
    shirt, trousers, skin, hair = _outfit(rng)
    shoe = replace(trousers, color=_TROUSERS[2])
    hip, shoulder = 0.50 * height, 0.82 * height
    step, swing = length / 2 - 0.16, 0.32 * length
    lead = rng.choice((-1.0, 1.0))
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        ahead = side * lead
        ankle = (ahead * step, side * 0.10, 0.09)
        hand = (-ahead * swing, side * (width / 2 - 0.06), 0.48 * height)
        parts += [
            limb((0, side * 0.09, hip), ankle, 0.15, trousers, "person"),
            block((ankle[0] + 0.03, ankle[1], 0.0), (0.25, 0.10, 0.10), shoe, "person"),
            limb((0, side * 0.20, shoulder - 0.05), hand, 0.09, shirt, "person"),
            ball(hand, (0.09, 0.09, 0.10), skin, "person"),
        ]
    parts += [
        column((0, 0, hip - 0.06), (0.25, 0.38, shoulder - hip + 0.06), shirt, "person"),
        ball((0, 0, shoulder - 0.02), (0.24, 0.44, 0.16), shirt, "person"),
        *_head((0.02, 0, height), skin, hair),
    ]
    return Body("Pedestrian", (length, width, height), tuple(parts))


def make_cyclist(rng: np.random.Generator) -> Body:
    """A person on a bicycle."""
    length, width, height = _size(rng, (1.76, 0.60, 1.74), (0.07, 0.04, 0.06))
    shirt, trousers, skin, _ = _outfit(rng)
    helmet = _paint(rng, _pick(rng, _HELMETS), gloss=0.4)
    frame = _paint(rng, _pick(rng, _CAR_PAINTS), gloss=0.4)
    axle = length / 2 - 0.34
    seat, crank, bar = (-0.24, 0, 0.92), (-0.06, 0, 0.30), (0.40, 0, 1.02)
    neck = (0.16, 0, height - 0.28)
    parts = [
        wheel((axle, 0, 0.34), 0.68, 0.05, _TYRE, "person"),
        wheel((-axle, 0, 0.34), 0.68, 0.05, _TYRE, "person"),
        limb((-axle, 0, 0.34), seat, 0.05, frame, "person"),
        limb(crank, seat, 0.05, frame, "person"),
        limb(crank, (0.36, 0, 0.80), 0.06, frame, "person"),
        limb((axle, 0, 0.34), bar, 0.05, frame, "person"),
        limb((0.40, -width / 2 + 0.02, 1.02), (0.40, width / 2 - 0.02, 1.02), 0.04, _GRILLE,
             "person"),
        limb((-0.24, 0, 0.94), neck, 0.30, shirt, "person"),
        ball(neck, (0.26, 0.42, 0.22), shirt, "person"),
        *_head((0.28, 0, height), skin, helmet),
    ]  # fmt: skip
    for side in (-1.0, 1.0):
        knee = (0.16, side * 0.12, 0.72 + side * 0.10)
        foot = (-0.06 + side * 0.12, side * 0.12, 0.30 + side * 0.12)
        parts += [
            limb((-0.20, side * 0.10, 0.92), knee, 0.16, trousers, "person"),
            limb(knee, foot, 0.12, trousers, "person"),
            limb((0.16, side * 0.18, height - 0.30), (0.40, side * (width / 2 - 0.08), 1.04), 0.09,
                 shirt, "person"),
        ]  # fmt: skip
    return Body("Cyclist", (length, width, height), tuple(parts))


def _size(
    rng: np.random.Generator,
    mean: tuple[float, float, float],
    spread: tuple[float, float, float],
) -> tuple[float, float, float]:
    """Normal sizes, cut off at two standard deviations."""
    draw = np.array(mean) + np.array(spread) * np.clip(rng.standard_normal(3), -2, 2)
    return (float(draw[0]), float(draw[1]), float(draw[2]))


def _pick(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    return colors[rng.integers(len(colors))]


def _paint(rng: np.random.Generator, color: Color, gloss: float = 0.0) -> Material:
    """A shade of a colour; how it answers a LiDAR has nothing to do with its colour."""
    red, green, blue = np.clip(np.array(color) * rng.uniform(0.9, 1.1, 3), 0, 1)
    return Material(
        (float(red), float(green), float(blue)),
        "plain" if gloss else "cloth",
        period_m=0.3,
        gloss=gloss,
        reflectance=float(rng.uniform(0.15, 0.7)),
        dropout=0.02,
    )


def _glazing(paint: Material) -> Material:
    return Material(_GLASS, "glazing", paint.color, gloss=1.0, reflectance=0.1, dropout=0.4)


def _outfit(rng: np.random.Generator) -> tuple[Material, Material, Material, Material]:
    """Shirt, trousers, skin and hair."""
    shirt = _paint(rng, _pick(rng, _CLOTHES))
    trousers = _paint(rng, _pick(rng, _TROUSERS))
    return shirt, trousers, _paint(rng, _pick(rng, _SKINS)), _paint(rng, _pick(rng, _HAIRS))


def _head(top: tuple[float, float, float], skin: Material, cover: Material) -> list[Part]:
    x, y, z = top
    return [
        ball((x, y, z - 0.14), (0.20, 0.17, 0.25), skin, "person"),
        ball((x - 0.03, y, z - 0.09), (0.22, 0.19, 0.18), cover, "person"),
    ]


def _wheels(length: float, width: float, diameter: float, label: str) -> list[Part]:
    x, y = 0.31 * length, width / 2 - 0.10
    return [
        wheel((side_x * x, side_y * y, diameter / 2), diameter, 0.20, _TYRE, label)
        for side_x in (-1, 1)
        for side_y in (-1, 1)
    ]


def _lights(length: float, width: float, height: float, label: str) -> list[Part]:
    """Head and tail lamps, grille and plates: thin blocks that stand out of the body a little."""
    x, y = length / 2 - 0.05, 0.36 * width
    lamp = (0.10, 0.22 * width, 0.13)
    parts = []
    for side in (-1, 1):
        parts.append(block((x, side * y, height), lamp, _LAMP, label))
        parts.append(block((-x, side * y, height), lamp, _TAIL, label))
    parts.append(block((x, 0, height - 0.2), (0.09, 0.45 * width, 0.24), _GRILLE, label))
    parts.append(block((-x, 0, height - 0.1), (0.09, 0.50, 0.12), _PLATE, label))
    return parts

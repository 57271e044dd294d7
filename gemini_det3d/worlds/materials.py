"""What a surface is to a camera (colour, pattern, gloss) and to a LiDAR (reflectance, drop-out).

The two sides are independent on purpose: :func:`repaint` changes what a camera sees and leaves
every LiDAR return as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

Color = tuple[float, float, float]

# Patterns that the shading kernels can draw.
PATTERNS = (
    "plain",
    "cloth",
    "asphalt",
    "tiles",
    "grass",
    "brick",
    "facade",
    "leaves",
    "cardboard",
    "stone",
    "bark",
    "glazing",
)


@dataclass(frozen=True)
class Material:
    """Surface of a solid.

    Attributes:
        color: sRGB, 0 to 1.
        pattern: One of ``PATTERNS``.
        second: sRGB of the pattern's other colour (windows, joints, markings).
        period_m: Length after which the pattern repeats, or size of its grain.
        gloss: Strength of the highlight and of the sky's reflection, 0 to 1.
        glow: Light that it gives off itself, in units of its own colour.
        reflectance: Share of the LiDAR's pulse sent back, 0 to 1.
        dropout: Share of pulses that never come back, 0 to 1.
    """

    color: Color
    pattern: str = "plain"
    second: Color = (0.0, 0.0, 0.0)
    period_m: float = 1.0
    gloss: float = 0.0
    glow: float = 0.0
    reflectance: float = 0.3
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a pattern that cannot be drawn."""
        if self.pattern not in PATTERNS:
            raise ValueError(f"pattern {self.pattern!r} is none of {', '.join(PATTERNS)}")


@dataclass(frozen=True)
class MaterialTable:
    """M materials as arrays.

    Attributes:
        looks: ``(M, 10)`` what a camera sees: colour and second colour in linear light (three
            columns each), index into ``PATTERNS``, period, gloss, glow.
        reflectance: ``(M,)``.
        dropout: ``(M,)``.
    """

    looks: np.ndarray
    reflectance: np.ndarray
    dropout: np.ndarray

    @classmethod
    def of(cls, materials: Sequence[Material]) -> MaterialTable:
        """Collect materials."""
        colors = np.array([[*m.color, *m.second] for m in materials], dtype=np.float64)
        rest = [[PATTERNS.index(m.pattern), m.period_m, m.gloss, m.glow] for m in materials]
        return cls(
            looks=np.column_stack([to_linear(colors.reshape(-1, 6)), np.reshape(rest, (-1, 4))]),
            reflectance=np.array([m.reflectance for m in materials], dtype=np.float64),
            dropout=np.array([m.dropout for m in materials], dtype=np.float64),
        )


def repaint(material: Material, paint: Material) -> Material:
    """The look of one material with the LiDAR's answer of another.

    Args:
        material: Gives ``reflectance`` and ``dropout``.
        paint: Gives all the rest.
    """
    return replace(paint, reflectance=material.reflectance, dropout=material.dropout)


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """Display values -> light, by a gamma of 2.2.

    Args:
        srgb: 0 to 1, any shape.

    Returns:
        0 to 1, same shape.
    """
    return np.asarray(srgb, dtype=np.float64) ** 2.2


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Light -> display values, by a gamma of 2.2.

    Args:
        linear: 0 or more, any shape.

    Returns:
        0 to 1, same shape; light beyond 1 is clipped.
    """
    return np.clip(linear, 0.0, 1.0) ** (1 / 2.2)

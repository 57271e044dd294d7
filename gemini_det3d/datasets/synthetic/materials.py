"""What a surface is to a camera (colour, pattern, gloss) and to a LiDAR (reflectance, drop-out).

The two sides are independent on purpose: :func:`repaint` changes what a camera sees and leaves
every LiDAR return as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

Color = tuple[float, float, float]

# Patterns that `textures.surface_colors` can draw.
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
        color: ``(M, 3)`` linear light.
        second: ``(M, 3)`` linear light.
        pattern: ``(M,)`` index into ``PATTERNS``.
        period_m: ``(M,)``.
        gloss: ``(M,)``.
        glow: ``(M,)``.
        reflectance: ``(M,)``.
        dropout: ``(M,)``.
    """

    color: np.ndarray
    second: np.ndarray
    pattern: np.ndarray
    period_m: np.ndarray
    gloss: np.ndarray
    glow: np.ndarray
    reflectance: np.ndarray
    dropout: np.ndarray

    @classmethod
    def of(cls, materials: Sequence[Material]) -> MaterialTable:
        """Collect materials.

        Args:
            materials: M materials.

        Returns:
            Their properties, row i for material i.
        """
        return cls(
            color=to_linear(np.array([m.color for m in materials]).reshape(-1, 3)),
            second=to_linear(np.array([m.second for m in materials]).reshape(-1, 3)),
            pattern=np.array([PATTERNS.index(m.pattern) for m in materials], dtype=np.int64),
            **{
                name: np.array([getattr(m, name) for m in materials], dtype=np.float64)
                for name in ("period_m", "gloss", "glow", "reflectance", "dropout")
            },
        )


def repaint(material: Material, paint: Material) -> Material:
    """The look of one material with the LiDAR's answer of another.

    Args:
        material: Gives ``reflectance`` and ``dropout``.
        paint: Gives all the rest.

    Returns:
        The new material.
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

"""Short names for parts: each helper makes one `Part` from where it stands or what it joins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gemini_det3d.worlds.materials import Material
from gemini_det3d.worlds.solids import BOX, CYLINDER, ELLIPSOID, Part

Vector = tuple[float, float, float]

# Turns a cylinder's axis from z to y: a wheel that rolls along x.
_WHEEL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def block(
    bottom: Vector,
    size: Vector,
    material: Material,
    label: str,
    taper: tuple[float, float] = (0.0, 0.0),
) -> Part:
    """An upright box.

    Args:
        bottom: Centre of its bottom.
        size: Extents along x, y, z.
        material: Its surface.
        label: Its semantic class.
        taper: By which share x and y shrink towards the top.
    """
    center = (bottom[0], bottom[1], bottom[2] + size[2] / 2)
    return Part(BOX, center, size, material, label, taper=taper)


def ball(center: Vector, size: Vector, material: Material, label: str) -> Part:
    """An ellipsoid."""
    return Part(ELLIPSOID, center, size, material, label)


def column(bottom: Vector, size: Vector, material: Material, label: str) -> Part:
    """An upright cylinder.

    Args:
        bottom: Centre of its bottom.
        size: Extents along x, y, z; its outline may be an ellipse.
        material: Its surface.
        label: Its semantic class.
    """
    center = (bottom[0], bottom[1], bottom[2] + size[2] / 2)
    return Part(CYLINDER, center, size, material, label)


def wheel(
    center: Vector, diameter: float, thickness: float, material: Material, label: str
) -> Part:
    """A disc that rolls along x.

    Args:
        center: Its hub.
        diameter: Metres.
        thickness: Metres, along y.
        material: Its surface.
        label: Its semantic class.
    """
    size = (diameter, diameter, thickness)
    return Part(CYLINDER, center, size, material, label, rotation=_WHEEL)


def limb(
    start: Sequence[float],
    end: Sequence[float],
    diameter: float,
    material: Material,
    label: str,
) -> Part:
    """A round rod between two points.

    Args:
        start: Centre of one end.
        end: Centre of the other.
        diameter: Metres.
        material: Its surface.
        label: Its semantic class.
    """
    start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    length = float(np.linalg.norm(end - start))
    axis = (end - start) / length
    helper = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    side = np.cross(axis, helper)
    side /= np.linalg.norm(side)
    rotation = np.stack([np.cross(side, axis), side, axis], axis=1)
    x, y, z = (start + end) / 2
    size = (diameter, diameter, length)
    return Part(CYLINDER, (float(x), float(y), float(z)), size, material, label, rotation)

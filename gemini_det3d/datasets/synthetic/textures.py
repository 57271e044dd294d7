"""Colours of surface points: each pattern is a function of the place on the surface.

A pattern gives, for N points, a mixture of the material's two colours and a brightness. Fine
detail fades out where a pixel covers more than one period, so far surfaces do not flicker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gemini_det3d.datasets.synthetic.materials import PATTERNS, MaterialTable
from gemini_det3d.datasets.synthetic.raycast import Hits, smooth_noise
from gemini_det3d.datasets.synthetic.solids import Solids


@dataclass(frozen=True)
class _Spots:
    """N points of one pattern.

    ``coords`` (N, 3): place in metres, x and y from the middle, z from the bottom; ``across``
    (N,): the horizontal place along the face; ``detail`` (N,): 1 near, 0 where a period is smaller
    than a pixel; ``grain`` (N, 3): coords in periods, shifted per solid.
    """

    coords: np.ndarray
    half_size: np.ndarray
    normal: np.ndarray
    across: np.ndarray
    period: np.ndarray
    detail: np.ndarray
    grain: np.ndarray


# A pattern answers with (share of the second colour, brightness), each (N,).
_Pattern = Callable[[_Spots], tuple[np.ndarray, np.ndarray]]


def surface_colors(
    solids: Solids, table: MaterialTable, hits: Hits, footprint_m: np.ndarray
) -> np.ndarray:
    """Colour of every point hit, before any light falls on it.

    Args:
        solids: The solids that were hit.
        table: Materials of the scene.
        hits: N hits, all of them found.
        footprint_m: ``(N,)`` size of a pixel at the hit, metres.

    Returns:
        ``(N, 3)`` linear RGB.
    """
    material = solids.material[hits.solid]
    pattern = table.pattern[material]
    second_share = np.zeros(len(material))
    brightness = np.ones(len(material))
    for index, name in enumerate(PATTERNS):
        mask = np.flatnonzero(pattern == index)
        if len(mask) and name != "plain":
            spots = _spots(solids, table, hits, footprint_m, mask)
            second_share[mask], brightness[mask] = _DRAW[name](spots)
    mixed = table.color.take(material, axis=0) * ((1 - second_share) * brightness)[:, None]
    return mixed + table.second.take(material, axis=0) * (second_share * brightness)[:, None]


def _spots(
    solids: Solids, table: MaterialTable, hits: Hits, footprint_m: np.ndarray, mask: np.ndarray
) -> _Spots:
    solid = hits.solid.take(mask)
    half_size = solids.half_size.take(solid, axis=0)
    coords = hits.local.take(mask, axis=0)
    coords[:, 2] += half_size[:, 2]
    normal = hits.local_normal.take(mask, axis=0)
    period = table.period_m.take(solids.material.take(solid))
    detail = 1.0 / (1.0 + (2.0 * footprint_m.take(mask) / period) ** 2)
    # An irrational-looking stride keeps equal solids from sharing one pattern.
    shift = (solid * 17.317)[:, None] * [1.0, 0.618, 0.271]
    across = np.where(np.abs(normal[:, 0]) > np.abs(normal[:, 1]), coords[:, 1], coords[:, 0])
    return _Spots(
        coords, half_size, normal, across, period, detail, coords / period[:, None] + shift
    )


def _grain(spots: _Spots, strength: float, octaves: int = 2) -> np.ndarray:
    """Brightness around 1 from noise; each octave is twice as fine and half as strong."""
    total = np.zeros(len(spots.period))
    for octave in range(octaves):
        total += (smooth_noise(spots.grain * 2.0**octave) - 0.5) * 0.5**octave
    return 1.0 + strength * total * (0.3 + 0.7 * spots.detail)


def _lines(place: np.ndarray, period: np.ndarray | float, width: float) -> np.ndarray:
    """1 within ``width`` (share of the period) around multiples of the period, else 0."""
    phase = place / period
    return (np.abs(phase - np.round(phase)) < width / 2).astype(np.float64)


def _cloth(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(len(spots.period)), _grain(spots, 0.35)


def _asphalt(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    """Tarmac along x with a broken middle line and full lines at the edges."""
    side = spots.coords[:, 1]
    half_width = spots.half_size[:, 1]
    middle = (np.abs(side) < 0.08) & (np.mod(spots.coords[:, 0], 6.0) < 3.0)
    edge = np.abs(np.abs(side) - (half_width - 0.35)) < 0.07
    worn = 0.75 + 0.25 * smooth_noise(spots.grain * 0.7)
    fine = _grain(spots, 0.35, octaves=3)
    tracks = 1.0 - 0.08 * np.cos(2 * np.pi * side / 1.7)
    return (middle | edge) * worn, fine * tracks


def _tiles(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    x, y = spots.coords[:, 0], spots.coords[:, 1]
    joints = np.maximum(_lines(x, spots.period, 0.06), _lines(y, spots.period, 0.06))
    cell = np.floor(np.stack([x, y, 0 * x], axis=1) / spots.period[:, None] + 0.5)
    tone = 0.9 + 0.2 * smooth_noise(cell + 0.5)
    upright = np.abs(spots.normal[:, 2]) < 0.5
    return np.where(upright, 0.3, 0.8 * joints * spots.detail), np.where(upright, 1.0, tone)


def _grass(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    patches = smooth_noise(spots.coords * 0.23 + 3.7)
    return 0.8 * patches, _grain(spots, 0.7, octaves=3)


def _brick(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    height = spots.coords[:, 2]
    row = np.floor(height / (0.4 * spots.period))
    shifted = spots.across + 0.5 * spots.period * np.mod(row, 2)
    joints = np.maximum(
        _lines(height, 0.4 * spots.period, 0.2), _lines(shifted, spots.period, 0.08)
    )
    return 0.7 * joints * spots.detail, _grain(spots, 0.3)


def _facade(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    """Rows of windows, one storey per period."""
    period = spots.period
    u = np.mod(spots.across / period + 0.5, 1.0)
    v = np.mod(spots.coords[:, 2] / period, 1.0)
    window = (np.abs(u - 0.5) < 0.22) & (v > 0.32) & (v < 0.78)
    frame = (np.abs(u - 0.5) < 0.26) & (v > 0.28) & (v < 0.81) & ~window
    cross = window & ((np.abs(u - 0.5) < 0.015) | (np.abs(v - 0.6) < 0.015))
    is_wall = np.abs(spots.normal[:, 2]) < 0.5
    cell = np.stack([np.floor(spots.across / period + 0.5), np.floor(spots.coords[:, 2] / period),
                     np.floor(spots.grain[:, 2] * 0)], axis=1)  # fmt: skip
    lit = 0.6 + 0.8 * smooth_noise(cell * 1.37 + 0.5)
    brightness = _grain(spots, 0.12) * np.where(frame | cross, 1.25, 1.0)
    glass = window & ~cross & is_wall
    return glass.astype(np.float64), np.where(glass, lit, np.where(is_wall, brightness, 0.6))


def _leaves(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    clumps = smooth_noise(spots.grain)
    gaps = smooth_noise(spots.grain * 2.3 + 9.1)
    return 0.8 * clumps * spots.detail + 0.3, 0.45 + 1.0 * gaps * spots.detail + 0.45 * (
        1 - spots.detail
    )


def _cardboard(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    """Brown board with a strip of tape along the middle of each side."""
    tape = np.abs(spots.across) < 0.04
    flutes = 1.0 + 0.06 * np.sin(2 * np.pi * spots.coords[:, 2] / 0.05) * spots.detail
    return 0.8 * tape, flutes * _grain(spots, 0.25)


def _stone(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    veins = np.abs(smooth_noise(spots.grain * 1.7) - 0.5) * 2
    return np.clip(1 - 5 * veins, 0, 1) * 0.5 * spots.detail, _grain(spots, 0.4)


def _bark(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    stretched = smooth_noise(spots.grain * [3.0, 3.0, 0.6])
    return stretched * 0.6, _grain(spots, 0.3)


def _glazing(spots: _Spots) -> tuple[np.ndarray, np.ndarray]:
    """Car windows (first colour) between painted pillars (second colour)."""
    x, y = spots.coords[:, 0], spots.coords[:, 1]
    is_side = np.abs(spots.normal[:, 1]) > np.abs(spots.normal[:, 0])
    length, width = spots.half_size[:, 0], spots.half_size[:, 1]
    pillar = is_side & ((np.abs(x + 0.08 * length) < 0.05) | (np.abs(x) > 0.82 * length))
    corner = ~is_side & (np.abs(y) > 0.86 * width)
    return (pillar | corner).astype(np.float64), np.ones(len(x))


_DRAW: dict[str, _Pattern] = {
    "cloth": _cloth,
    "asphalt": _asphalt,
    "tiles": _tiles,
    "grass": _grass,
    "brick": _brick,
    "facade": _facade,
    "leaves": _leaves,
    "cardboard": _cardboard,
    "stone": _stone,
    "bark": _bark,
    "glazing": _glazing,
}

"""Coordinates as base64 of int16: a third of the size of decimals, at millimetres of error."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

_LARGEST = 32767


@dataclass(frozen=True)
class Quantized:
    """N points; ``origin + step * integer`` is the coordinate again, to half a step.

    Attributes:
        data: Base64 of ``(N, 3)`` little-endian int16.
        origin: ``(3,)`` metres.
        step: Metres.
    """

    data: str
    origin: tuple[float, float, float]
    step: float


def quantize(points: np.ndarray) -> Quantized:
    """Put points on a grid that just reaches the outermost of them.

    Args:
        points: ``(N, 3)`` finite metres.

    Returns:
        The points; no coordinate moves by more than half a step.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    if len(points) == 0:
        return Quantized("", (0.0, 0.0, 0.0), 1.0)
    low, high = points.min(axis=0), points.max(axis=0)
    origin = (low + high) / 2
    step = max(float((high - low).max()) / (2 * _LARGEST), 1e-6)
    grid = np.clip(np.rint((points - origin) / step), -_LARGEST, _LARGEST).astype("<i2")
    return Quantized(encode(grid), (float(origin[0]), float(origin[1]), float(origin[2])), step)


def dequantize(points: Quantized) -> np.ndarray:
    """``(N, 3)`` float64 metres, as the page reads them."""
    grid = np.frombuffer(base64.b64decode(points.data), dtype="<i2").reshape(-1, 3)
    return np.array(points.origin) + points.step * grid


def encode(values: np.ndarray) -> str:
    """Base64 of an array's bytes, row after row."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")

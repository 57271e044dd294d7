"""MATLAB's struct arrays, for tests that write files of the official SUN RGB-D download."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def structs(rows: Iterable[dict]) -> np.ndarray:
    """A ``(1, N)`` struct array, a field a key."""
    rows = list(rows)
    array = np.empty((1, len(rows)), dtype=[(key, object) for key in (rows or [{"a": 0}])[0]])
    for index, row in enumerate(rows):
        array[0, index] = tuple(row.values())
    return array

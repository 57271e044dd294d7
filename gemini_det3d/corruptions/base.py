"""What a corruption is: a function, five severities, and random numbers that a seed fixes."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SEVERITIES = (1, 2, 3, 4, 5)


class UnusableDataError(ValueError):
    """A picture or a cloud of a kind that no corruption is made for."""


@dataclass(frozen=True)
class Corruption:
    """One way in which sensors fail or lie.

    Attributes:
        name: Unique, as commands and configs name it.
        family: For tables: corruptions of one family are averaged.
        target: What `function` changes: 'camera' ``(H, W, 3)`` float32 RGB in 0 to 255, 'lidar'
            ``(N, C)`` float32 points x, y, z in metres, intensity and whatever else is measured, or
            x, y, z alone, 'calibration'
            (it gives a ``(4, 4)`` movement of the points before they are projected), 'presence' (it
            gives which of n sensors are there), 'modalities' (every image of a set of aligned
            ones).
        function: ``(what it changes, level, generator) -> the same, changed``. It draws the same
            numbers at every level, so that what a severity loses, the next one loses, too.
        levels: Of severities 1 to 5.
        meaning: What a level is, with its unit.
    """

    name: str
    family: str
    target: str
    function: Callable[..., Any]
    levels: tuple[Any, ...]
    meaning: str

    def __call__(self, data: Any, severity: int, generator: np.random.Generator) -> Any:
        """Corrupt.

        Args:
            data: See `target`; left as it is.
            severity: 1 to 5.
            generator: Source of random numbers; see :func:`generator_of`.

        Returns:
            The same kind of data, new.

        Raises:
            ValueError: There is no such severity.
        """
        if severity not in SEVERITIES:
            raise ValueError(f"severity={severity!r} must be one of {SEVERITIES}")
        return self.function(data, self.levels[severity - 1], generator)


def corruptions_of(
    family: str, target: str, *rows: tuple[str, Callable[..., Any], tuple[Any, ...], str]
) -> tuple[Corruption, ...]:
    """Corruptions of one family and target.

    Args:
        family: As of `Corruption`.
        target: As of `Corruption`.
        *rows: Name, function, levels and meaning of each.
    """
    return tuple(Corruption(name, family, target, *rest) for name, *rest in rows)


def generator_of(name: str, seed: int, frame: str, view: int = 0) -> np.random.Generator:
    """Random numbers of one corruption of one frame, the same in every process and severity.

    Args:
        name: Of the corruption.
        seed: Of the test.
        frame: What tells the frame from others, such as the name of its file.
        view: Which camera or modality.
    """
    return np.random.default_rng(
        [seed, zlib.crc32(name.encode()), zlib.crc32(frame.encode()), view]
    )

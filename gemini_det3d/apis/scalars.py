"""mmengine's logs of numbers, also those of a training that is still running or was cut off."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gemini_det3d.formats.text import read_bytes

Line = dict[str, float]
_LARGEST = 1e300


@dataclass(frozen=True)
class Scalars:
    """What was logged, in order.

    Attributes:
        train: A line every few iterations; ``step`` is the iteration, ``epoch`` is there where the
            training counts epochs.
        val: A line for each evaluation; ``step`` is the epoch, or the iteration.
        broken: Lines that are no JSON object. One that is just being written is none of them.
    """

    train: list[Line]
    val: list[Line]
    broken: int = 0

    @property
    def by_epoch(self) -> bool:
        """Whether the training counts epochs."""
        return any("epoch" in line for line in self.train)


def read_scalars(path: Path) -> Scalars:
    """One ``scalars.json``: an object a line.

    Raises:
        FormatError: It cannot be read.
    """
    *lines, unfinished = read_bytes(path).split(b"\n")
    train, val, broken = [], [], 0
    for text in (*lines, unfinished):
        line = _numbers(text)
        if line is None:
            broken += bool(text.strip()) and text is not unfinished
        elif "iter" in line or "epoch" in line:
            train.append(line)
        elif line:
            val.append(line)
    return Scalars(train, val, broken)


def _numbers(text: bytes) -> Line | None:
    """The numbers of a line; None where it is no object."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    return {k: _number(v) for k, v in content.items() if type(v) in (int, float)}


def _number(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) > _LARGEST else float(value)


def join_scalars(logs: Iterable[Scalars]) -> Scalars:
    """A training that was resumed, or begun again, in the same folder.

    Args:
        logs: In the order of their time. A later one overrules an earlier one from its first
            iteration on, and from its first evaluation on: a resumed training begins with the one
            that its checkpoint was written before.
    """
    train: list[Line] = []
    val: list[Line] = []
    broken = 0
    for log in logs:
        broken += log.broken
        if log.train:
            first = log.train[0]
            key = "epoch" if "epoch" in first else "step"
            train = [line for line in train if _of(line, "step") < _of(first, "step")]
            val = [line for line in val if _of(line, "step") < _of(first, key)]
        if log.val:
            val = [line for line in val if _of(line, "step") < _of(log.val[0], "step")]
        train, val = train + log.train, val + log.val
    return Scalars(train, val, broken)


def _of(line: Line, key: str) -> float:
    return line.get(key, 0.0)


def column(lines: Sequence[Line], key: str) -> tuple[list[float], list[float]]:
    """Steps and values of the lines that have a key."""
    found = [(line.get("step", 0.0), line[key]) for line in lines if key in line]
    return [step for step, _ in found], [value for _, value in found]


def thin_out(
    steps: Sequence[float], values: Sequence[float], most: int
) -> tuple[list[float], list[float]]:
    """At most so many points: means of neighbours, each at the last one's step."""
    size = math.ceil(len(steps) / most)
    if size <= 1:
        return list(steps), list(values)
    starts = range(0, len(steps), size)
    means = [sum(part) / len(part) for part in (values[i : i + size] for i in starts)]
    return [steps[min(i + size, len(steps)) - 1] for i in starts], means

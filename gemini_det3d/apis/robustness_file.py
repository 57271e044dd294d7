"""Scores under corruptions, and the file that holds them and says which test they are of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.corruptions import RobustnessScores, robustness_scores
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.text import read_json, write_json

CLEAN = "clean"
VERSION = 4
"""Raised whenever a corruption changes or a score is taken otherwise: no older one is kept."""


@dataclass(frozen=True)
class Robustness:
    """Scores in percent.

    Attributes:
        clean: Without corruption.
        corrupted: By corruption, by severity.
        frames: Tested.
        test: Which test they are of, as `ScoreFile` keeps it.
    """

    clean: float
    corrupted: dict[str, dict[int, float]]
    frames: int
    test: Mapping[str, Any] = field(default_factory=dict)

    def summary(self, baseline: Robustness | None = None) -> RobustnessScores:
        """CE, RR and RCE; see :func:`gemini_det3d.corruptions.robustness_scores`.

        Args:
            baseline: Scores of the model to compare with; those of other conditions are left out.

        Raises:
            ConfigError: It was not tested under a condition that this was tested under, or is of
                another test.
        """
        others = None
        if baseline is not None:
            baseline.require({name: list(each) for name, each in self.corrupted.items()})
            baseline.require_test(self.test)
            others = {
                name: [baseline.corrupted[name][severity] / 100 for severity in each]
                for name, each in self.corrupted.items()
            }
        ours = {name: _shares(each) for name, each in self.corrupted.items()}
        return robustness_scores(self.clean / 100, ours, others)

    def require(self, conditions: Mapping[str, Sequence[int]]) -> None:
        """Refuse a baseline without scores of all these conditions.

        Args:
            conditions: Severities by corruption.

        Raises:
            ConfigError: One is missing.
        """
        for name, severities in conditions.items():
            there = self.corrupted.get(name)
            if there is None:
                raise ConfigError(f"--baseline: {name} was not tested there")
            absent = [severity for severity in severities if severity not in there]
            if absent:
                fault = f"was tested there at severities {_listed(there)}, not {_listed(absent)}"
                raise ConfigError(f"--baseline: {name} {fault}")

    def require_test(self, test: Mapping[str, Any]) -> None:
        """Refuse a baseline of another test; its config and checkpoint may be others.

        Args:
            test: As `ScoreFile` keeps it.

        Raises:
            ConfigError: Corruptions, frames, metric or seed were others.
        """
        others = _differences(self.test, test, ("version", "frames", "metric", "seed"))
        if others:
            raise ConfigError(f"--baseline: is of a test with other {others}")


def read_robustness(path: Path | str) -> Robustness:
    """A ``robustness.json`` that was written earlier.

    Raises:
        FormatError: It cannot be read, or is none.
    """
    found = _read(Path(path))
    try:
        scores = found["scores"]
        clean = float(scores.pop(CLEAN)["0"])
        corrupted = {n: {int(s): float(x) for s, x in each.items()} for n, each in scores.items()}
        return Robustness(clean, corrupted, len(found["test"]["frames"]), found["test"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(path, f"is not a robustness.json of eval-robustness ({error})") from None


class ScoreFile:
    """Scores in a file that knows which test they are of.

    Args:
        path: Of the file; what it holds of the same test is kept, and of another version lost.
        test: ``version``, ``frames`` (their numbers), ``metric`` and ``seed``; ``config`` and
            ``checkpoint`` (their SHA-256).

    Raises:
        ConfigError: It holds scores of another test.
        FormatError: It cannot be read, or is none.
    """

    def __init__(self, path: Path, test: Mapping[str, Any]) -> None:
        self.path, self.test = path, test
        self.scores: dict[str, dict[str, float]] = {}
        found = _read(path) if path.is_file() else {}
        there = found.get("test")
        if isinstance(there, dict) and there.get("version") == test["version"]:
            others = _differences(there, test, test)
            if others:
                fault = f"holds scores of a test with other {others}; use another folder"
                raise ConfigError(f"{path}: {fault}")
            self.scores = found.get("scores", {})

    def get(self, name: str, severity: int) -> float | None:
        """Of a condition, percent; None: it was not tested yet."""
        return self.scores.get(name, {}).get(str(severity))

    def put(self, name: str, severity: int, score: float) -> None:
        """Keep the score of a condition, percent; the file is written anew."""
        self.scores.setdefault(name, {})[str(severity)] = score
        write_json(self.path, {"test": self.test, "scores": self.scores})


def _read(path: Path) -> dict:
    found = read_json(path)
    if not isinstance(found, dict):
        raise FormatError(path, "is not a robustness.json of eval-robustness")
    return found


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], keys: Iterable[str]) -> str:
    return ", ".join(key for key in keys if one.get(key) != other.get(key))


def _listed(severities: Iterable[int]) -> str:
    return ", ".join(map(str, severities))


def _shares(scores: dict[int, float]) -> list[float]:
    return [score / 100 for score in scores.values()]

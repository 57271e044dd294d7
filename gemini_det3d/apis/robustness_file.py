"""Scores under corruptions, and the file that holds them and says which test they are of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """

    clean: float
    corrupted: dict[str, dict[int, float]]
    frames: int

    def summary(self, baseline: Robustness | None = None) -> RobustnessScores:
        """CE, RR and RCE; see :func:`gemini_det3d.corruptions.robustness_scores`.

        Args:
            baseline: Scores of the model to compare with; those of other conditions are left out.

        Raises:
            ConfigError: It was not tested under a condition that this was tested under.
        """
        others = None
        if baseline is not None:
            baseline.require({name: list(each) for name, each in self.corrupted.items()})
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
        return Robustness(clean, corrupted, len(found["test"]["frames"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(path, f"is not a robustness.json of eval-robustness ({error})") from None


class ScoreFile:
    """Scores in a file that knows which test they are of."""

    def __init__(self, path: Path, mark: dict) -> None:
        self.path, self.mark = path, mark
        self.scores: dict[str, dict[str, float]] = {}
        if path.is_file():
            found = _read(path)
            if found.get("test") == mark:
                self.scores = found.get("scores", {})

    def get(self, name: str, severity: int) -> float | None:
        """Of a condition, percent; None: it was not tested yet."""
        return self.scores.get(name, {}).get(str(severity))

    def put(self, name: str, severity: int, score: float) -> None:
        """Keep the score of a condition, percent; the file is written anew."""
        self.scores.setdefault(name, {})[str(severity)] = score
        write_json(self.path, {"test": self.mark, "scores": self.scores})


def _read(path: Path) -> dict:
    found = read_json(path)
    if not isinstance(found, dict):
        raise FormatError(path, "is not a robustness.json of eval-robustness")
    return found


def _listed(severities: Iterable[int]) -> str:
    return ", ".join(map(str, severities))


def _shares(scores: dict[int, float]) -> list[float]:
    return [score / 100 for score in scores.values()]

"""What benchmarks of corruptions sum up: corruption error, resilience, relative loss.

With S the score (0 to 1) of a corruption, averaged over its severities, and S_b that of the
baseline: CE = (1 - S) / (1 - S_b) and RR = S / S_clean, both in percent, their means over the
corruptions mCE and mRR (Kong et al. 2023, RoboBEV; RR is also called the resistance ability RA);
RCE = (S_clean - S) / S_clean (Dong et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RobustnessScores:
    """Percent, of every corruption and their means.

    Attributes:
        resilience: RR (RA) by corruption.
        loss: RCE by corruption.
        error: CE by corruption; empty without a baseline.
    """

    resilience: dict[str, float]
    loss: dict[str, float]
    error: dict[str, float]

    @property
    def mrr(self) -> float:
        """Mean of `resilience`."""
        return float(np.mean(list(self.resilience.values())))

    @property
    def mrce(self) -> float:
        """Mean of `loss`."""
        return float(np.mean(list(self.loss.values())))

    @property
    def mce(self) -> float:
        """Mean of `error`; NaN without a baseline."""
        return float(np.mean(list(self.error.values()))) if self.error else math.nan


def robustness_scores(
    clean: float,
    corrupted: Mapping[str, Sequence[float]],
    baseline: Mapping[str, Sequence[float]] | None = None,
) -> RobustnessScores:
    """Sum up.

    Args:
        clean: Score without corruption, 0 to 1.
        corrupted: By corruption the scores of its severities, 0 to 1.
        baseline: The same of the model that is compared with.

    Returns:
        NaN where the clean score is 0.

    Raises:
        ValueError: A score is no share, or the baseline lacks a corruption.
    """
    for name, values in (("clean", [clean]), *corrupted.items(), *(baseline or {}).items()):
        if not values or not all(0 <= value <= 1 for value in values):
            raise ValueError(f"{name}: scores {list(values)} must be shares from 0 to 1")
    means = {name: float(np.mean(values)) for name, values in corrupted.items()}
    error = {}
    if baseline is not None:
        missing = sorted(set(means) - set(baseline))
        if missing:
            raise ValueError(f"the baseline has no scores of {missing}")
        for name, mean in means.items():
            left = 1 - float(np.mean(baseline[name]))
            error[name] = 100 * (1 - mean) / left if left else math.nan
    resilience = {name: 100 * mean / clean if clean else math.nan for name, mean in means.items()}
    return RobustnessScores(resilience, {n: 100 - r for n, r in resilience.items()}, error)

"""The rows of a comparison: what each variant's runs gave."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gemini_det3d.apis.comparison.paired import Paired, Threshold, compare_pairs, corrected
from gemini_det3d.apis.comparison.scores import is_error, summed_up
from gemini_det3d.apis.config import ConfigError


@dataclass(frozen=True)
class Row:
    """One variant over its seeds.

    Attributes:
        name: The variant.
        by_seed: The metric of each finished run, percent; an error in its own unit.
        per_part: Mean over seeds of what the metric averages (KITTI: the classes).
        parameters: Of the model, millions.
        multiply_adds: Of one frame, billions; sparse convolutions are not counted.
        latency_ms: Of one frame, median.
        peak_mb: Peak memory of one training step beyond the built model.
        train_minutes: Mean over the seeds whose training was not interrupted.
        faults: Why runs failed or a figure is missing, one line each.
        learned: Seed -> the epoch in which it learned, 0 where the loss does not say, None where
            it did not learn; empty without a threshold.
        paired: Against the row that all are compared with; None for that row itself.
    """

    name: str
    by_seed: Mapping[int, float]
    per_part: Mapping[str, float]
    parameters: float | None
    multiply_adds: float | None
    latency_ms: float | None
    peak_mb: float | None
    train_minutes: float | None
    faults: tuple[str, ...]
    learned: Mapping[int, int | None]
    paired: Paired | None = None

    @property
    def scores(self) -> tuple[float, ...]:
        """Of the finished runs, by rising seed."""
        return tuple(self.by_seed.values())

    @property
    def median(self) -> float:
        """Over seeds; NaN without any."""
        return statistics.median(self.scores) if self.scores else math.nan

    @property
    def learned_share(self) -> float | None:
        """Share of the finished runs that learned; None without a threshold."""
        found = [epoch is not None for epoch in self.learned.values()]
        return sum(found) / len(found) if found else None

    @property
    def learned_epoch(self) -> float | None:
        """Median epoch in which those that learned did so; None where nothing says when."""
        epochs = [epoch for epoch in self.learned.values() if epoch]
        return statistics.median(epochs) if epochs else None

    @property
    def mean(self) -> float:
        """Mean over seeds; NaN without any."""
        return statistics.fmean(self.scores) if self.scores else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over seeds (sample); 0 for one seed, NaN for none."""
        if not self.scores:
            return math.nan
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0


def score_name(rows: Sequence[Row]) -> str:
    """What the score is a mean of: ``AP`` of classes, ``mIoU``, ... for a table's head."""
    keys = {part for row in rows for part in row.per_part if "/" in part}
    kinds = {key.rpartition("/")[2] for key in keys}
    if len(kinds) == 1:
        return kinds.pop()
    return "AP" if all("AP" in kind for kind in kinds) else "score"


def counts_errors(rows: Sequence[Row]) -> bool:
    """Whether the score is an error, of which less is better."""
    return any(is_error(part) for row in rows for part in row.per_part)


def score_title(rows: Sequence[Row]) -> str:
    """Its name and unit, for axes and notes."""
    return score_name(rows) + ("" if counts_errors(rows) else " in percent")


def build_rows(
    results: Mapping[str, Sequence[dict | str]],
    figures: Mapping[str, dict | str],
    pattern: str | None = None,
    threshold: Threshold | None = None,
    against: str | None = None,
) -> list[Row]:
    """Rows of a table.

    Args:
        results: By variant, what each seed gave: its result, or why there is none.
        figures: By variant, ``parameters``, ``multiply_adds``, ``latency_ms``, ``peak_mb``, or
            why there are none.
        pattern: See `headline`.
        threshold: From where on a run counts as learned; None: it is not asked.
        against: The variant that all are compared with; None: the first.

    Raises:
        ConfigError: There is no such variant, or no run has such a metric.
    """
    against = against or next(iter(results))
    if against not in results:
        raise ConfigError(f"--against {against}: the variants are {', '.join(results)}")
    found = {
        (name, number): run if isinstance(run, str) else _parts(run, pattern)
        for name, runs in results.items()
        for number, run in enumerate(runs)
    }
    _tell_what_fits_nothing(results, found)
    rows = []
    for name, runs in results.items():
        parts = [found[name, number] for number in range(len(runs))]
        known = _finite(parts)
        scored = [_measured(each, known) for each in parts]
        row = _build_row(name, runs, scored, figures.get(name, {}), threshold)
        left_out = sorted(_named(parts) & _finite(found.values()) - known)
        note = f"not averaged: {', '.join(left_out)}: NaN in every run" if known else ""
        rows.append(replace(row, faults=(*row.faults, note)) if left_out and note else row)
    other = next(row for row in rows if row.name == against)
    pairs = {
        row.name: paired for row in rows if row is not other
        if (paired := compare_pairs(row.by_seed, other.by_seed, against))
    }  # fmt: skip
    return [replace(row, paired=corrected(pairs).get(row.name)) for row in rows]


def _parts(run: Mapping, pattern: str | None) -> dict[str, float] | str:
    """What sums up a run's test, NaN included, or why nothing does."""
    try:
        return summed_up(run["metrics"], pattern)
    except ConfigError as error:
        return str(error)


def _named(parts: Iterable[dict[str, float] | str]) -> set[str]:
    """Parts that any run has, NaN included."""
    return {name for each in parts if not isinstance(each, str) for name in each}


def _finite(parts: Iterable[dict[str, float] | str]) -> set[str]:
    """Parts that any run has a number for."""
    pairs = (pair for each in parts if not isinstance(each, str) for pair in each.items())
    return {name for name, value in pairs if math.isfinite(value)}


def _tell_what_fits_nothing(results: Mapping[str, Sequence], found: Mapping) -> None:
    """One line for all where runs ended and the metric fits none of them.

    Raises:
        ConfigError: That is so.
    """
    ended = [found[name, n] for name, runs in results.items() for n, run in enumerate(runs)
             if not isinstance(run, str)]  # fmt: skip
    faults = [parts for parts in ended if isinstance(parts, str)]
    if faults and len(faults) == len(ended):
        raise ConfigError(faults[0])


def _measured(parts: dict[str, float] | str, measured: set[str]) -> dict[str, float] | str:
    """The parts that make a run's score, or why it has none.

    A part that is NaN in every run of a variant has no truth in its test set; in some, they
    diverged.

    Args:
        parts: Of the run.
        measured: Those that any run of the variant has a number for.
    """
    if isinstance(parts, str):
        return parts
    known = {part: value for part, value in parts.items() if part in measured}
    broken = [part for part, value in parts.items()
              if math.isinf(value) or part in measured and math.isnan(value)]  # fmt: skip
    if broken or not known:
        return f"--metric: nothing to measure {', '.join(broken or parts)} by: NaN or infinite"
    return known


def _build_row(
    name: str,
    runs: Sequence[dict | str],
    parts: Sequence[dict[str, float] | str],
    figures: dict | str,
    threshold: Threshold | None,
) -> Row:
    scored = {n: part for n, part in enumerate(parts) if not isinstance(part, str)}
    faults = [
        part if isinstance(run, str) else f"seed {number}: {part}"
        for number, (run, part) in enumerate(zip(runs, parts)) if isinstance(part, str)
    ]  # fmt: skip
    scores = {number: statistics.fmean(part.values()) for number, part in scored.items()}
    if isinstance(figures, str):
        faults, figures = [*faults, f"not measured: {figures}"], {}
    done = {number: run for number, run in enumerate(runs) if not isinstance(run, str)}
    minutes = [m for run in done.values() if (m := run["train_minutes"]) is not None]
    learned: dict[int, int | None] = {}
    if threshold is not None:
        learned = dict.fromkeys(done)  # one without a score did not
        of_error = any(is_error(key) for part in scored.values() for key in part)
        for number in (n for n, score in scores.items() if threshold.is_met(score, of_error)):
            try:
                learned[number] = threshold.epoch(done[number].get("losses", {})) or 0
            except ConfigError as error:  # it did, and nothing says when
                learned[number] = 0
                faults.append(f"seed {number}: {error}")
    by_part: dict[str, list[float]] = {}
    for name_of_part, value in (pair for part in scored.values() for pair in part.items()):
        by_part.setdefault(name_of_part, []).append(value)
    return Row(
        name=name,
        by_seed=scores,
        per_part={part: statistics.fmean(values) for part, values in by_part.items()},
        parameters=figures.get("parameters"),
        multiply_adds=figures.get("multiply_adds"),
        latency_ms=figures.get("latency_ms"),
        peak_mb=figures.get("peak_mb"),
        train_minutes=statistics.fmean(minutes) if minutes else None,
        faults=tuple(faults),
        learned=learned,
    )

"""The runs of a comparison under corrupted sensors: every condition, variants in pairs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from gemini_det3d.apis.comparison.finished import FinishedRun, finished_runs
from gemini_det3d.apis.comparison.paired import Paired, compare_pairs, holm
from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.robustness import evaluate_robustness
from gemini_det3d.apis.robustness_file import CLEAN, Robustness
from gemini_det3d.corruptions import CORRUPTIONS
from gemini_det3d.formats.errors import FormatError

if TYPE_CHECKING:
    from mmengine.config import Config

Scores = Mapping[str, Mapping[int, float]]  # by variant, by seed, percent


@dataclass(frozen=True)
class Condition:
    """One row: what every run scores, and how variants differ from the one they are held against.

    Attributes:
        family: Of the corruption; empty for clean frames and the mean.
        name: ``clean``, a corruption (mean over its severities), or the mean over all.
        scores: Of every run that was tested under it.
        paired: By variant.
        corrected: By variant, the p-value corrected for the number of conditions (Holm, 1979);
            of the mean there is none.
    """

    family: str
    name: str
    scores: Scores
    paired: Mapping[str, Paired] = field(default_factory=dict)
    corrected: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CorruptedRuns:
    """All of it.

    Attributes:
        runs: By variant, by seed, the scores of each run.
        conditions: The rows: clean, each corruption, the mean over the corruptions.
        faults: Why a run is missing, a line each.
    """

    runs: Mapping[str, Mapping[int, Robustness]]
    conditions: Sequence[Condition]
    faults: Sequence[str] = ()


def evaluate_runs(
    folder: Path | str,
    out: Path | str,
    against: str | None = None,
    read: Callable[[Path], Config] = read_config,
    **options: Any,
) -> CorruptedRuns:
    """Test every finished run of a comparison without and under each corruption.

    Args:
        folder: ``--out`` of ``compare``.
        out: Folder of each run's ``robustness.json``; what is tested there is not tested again.
        against: The variant that all are held against, seed by seed; None: the first.
        read: How a run's config is read.
        **options: Of :func:`gemini_det3d.apis.robustness.evaluate_robustness`, for all runs alike.
            A run is tested under those of the corruptions that change what its model reads.

    Raises:
        ConfigError: There are no finished runs or no such variant, or none could be tested under
            any corruption.
    """
    runs = finished_runs(folder)
    names = list(dict.fromkeys(run.variant for run in runs))
    if against not in (None, *names):
        raise ConfigError(f"--against {against}: the variants are {', '.join(names)}")
    found: dict[str, dict[int, Robustness]] = {name: {} for name in names}
    faults = []

    def test(run: FinishedRun) -> Robustness:
        place = Path(out) / run.variant / f"seed{run.seed}"
        config = read(run.config)
        return evaluate_robustness(config, run.checkpoint, place, where_applicable=True, **options)

    for run in tqdm(runs, desc="runs", unit="run"):
        try:
            found[run.variant][run.seed] = test(run)
        except (ConfigError, FormatError) as error:  # this run's alone
            faults.append(f"{run.variant} seed {run.seed}: {error}")
            tqdm.write(faults[-1])
    tested = {name for seeds in found.values() for run in seeds.values() for name in run.corrupted}
    for name in options.get("corruptions") or ():
        if name not in tested:
            faults.append(f"--corruptions {name}: changes nothing in any run that was tested")
    if not tested:
        raise ConfigError(faults[0] if faults else "--corruptions: none changes anything in a run")
    return CorruptedRuns(found, compare_conditions(found, against), faults)


def compare_conditions(
    runs: Mapping[str, Mapping[int, Robustness]], against: str | None = None
) -> list[Condition]:
    """Rows of the table.

    Args:
        runs: By variant, by seed.
        against: The variant that all are held against; None: the first that has a run.
    """
    against = against or next(name for name, seeds in runs.items() if seeds)
    every = [run for seeds in runs.values() for run in seeds.values()]
    names = list(dict.fromkeys(name for run in every for name in run.corrupted))
    conditions = [_condition(CLEAN, runs, against), *(_condition(n, runs, against) for n in names)]
    conditions = _corrected(conditions)
    if len(names) > 1:
        conditions.append(_paired("", f"mean of {len(names)}", _means(runs, names), against))
    return conditions


def _condition(name: str, runs: Mapping[str, Mapping[int, Robustness]], against: str) -> Condition:
    if name == CLEAN:
        scores = {v: {s: run.clean for s, run in seeds.items()} for v, seeds in runs.items()}
        return _paired("", name, scores, against)
    return _paired(CORRUPTIONS[name].family, name, _means(runs, [name]), against)


def _means(runs: Mapping[str, Mapping[int, Robustness]], names: Sequence[str]) -> Scores:
    """Over corruptions and their severities, of the runs that were tested under all of them."""
    return {
        variant: {
            seed: statistics.fmean(statistics.fmean(run.corrupted[n].values()) for n in names)
            for seed, run in seeds.items()
            if set(names) <= set(run.corrupted)
        }
        for variant, seeds in runs.items()
    }


def _paired(family: str, name: str, scores: Scores, against: str) -> Condition:
    pairs = {
        variant: pair
        for variant, seeds in scores.items()
        if variant != against and (pair := compare_pairs(seeds, scores[against], against))
    }
    return Condition(family, name, scores, pairs)


def _corrected(conditions: Sequence[Condition]) -> list[Condition]:
    """The same with each variant's p-values corrected for how many conditions there are."""
    corrected: list[dict[str, float]] = [{} for _ in conditions]
    for variant in conditions[0].scores:
        places = [i for i, condition in enumerate(conditions) if variant in condition.paired]
        values = holm([conditions[i].paired[variant].p_value for i in places])
        for place, value in zip(places, values):
            corrected[place][variant] = value
    return [
        Condition(each.family, each.name, each.scores, each.paired, values)
        for each, values in zip(conditions, corrected)
    ]

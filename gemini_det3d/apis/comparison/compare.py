"""Variants of a detector trained and tested alike, in one table with its costs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gemini_det3d.apis.cluster import jobs_of, run_on_cluster, threads_of
from gemini_det3d.apis.comparison.page import write_page
from gemini_det3d.apis.comparison.paired import Threshold
from gemini_det3d.apis.comparison.rows import Row, build_rows
from gemini_det3d.apis.comparison.scores import check_pattern, check_scored
from gemini_det3d.apis.comparison.table import write_tables
from gemini_det3d.apis.comparison.variants import Swap, Variant, make_variants
from gemini_det3d.apis.config import ConfigError, find_config, read_config
from gemini_det3d.apis.config_changes import checked_changes
from gemini_det3d.apis.machine import facts, num_threads
from gemini_det3d.apis.process import Programs
from gemini_det3d.apis.runs import Run, Scripts, fingerprint, run_all
from gemini_det3d.apis.script_options import check_start, imports_plugin, runner_of
from gemini_det3d.formats.files import sha256_of
from gemini_det3d.formats.text import read_json, write_json

_START = "default_hooks.start.type"
_EPOCHS = "train_cfg.max_epochs"


@dataclass(frozen=True)
class Plan:
    """What a comparison runs.

    Attributes:
        variants: Its rows.
        runs: Every variant with seed 0, then every variant with the next one.
    """

    variants: list[Variant]
    runs: list[Run]


def compare(
    configs: Sequence[str | os.PathLike],
    swaps: Sequence[Swap | str],
    out: str | os.PathLike,
    seeds: int = 1,
    jobs: int | None = None,
    options: Mapping[str, str] | None = None,
    metric: str | None = None,
    learned: Threshold | str | None = None,
    against: str | None = None,
    paired: bool = True,
    scripts: Scripts | None = None,
    threads: int | None = None,
    executor: str = "local",
    cluster: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Train and test every variant with every seed; same data, schedule and scripts for all.

    Args:
        configs: Paths or names; rows are in their order.
        swaps: Keys and the values they take in turn, as ``"key=A,B"`` or parsed.
        out: Folder of tables and runs; what is finished there is kept.
        seeds: Seeds 0 to ``seeds - 1`` for each variant.
        jobs: Runs at a time, each on a share of the cores and one GPU; None: `jobs_of`.
        options: Dotted key -> value, set in every variant; ``{seed}`` and ``{variant}`` in a value
            stand for the run's own, as in the path of a checkpoint to start from.
        metric: See :func:`gemini_det3d.apis.comparison.scores.headline`.
        learned: From where on a run counts as learned, as ``"94,loss_cls<0.6"`` or parsed.
        against: The variant that all are tested against, seed by seed; None: the first.
        paired: Runs of one seed start from the same weights wherever variants share them
            (`SeedByNameHook`; of configs that import this plug-in).
        scripts: Programs to train and test with; None: mmdet3d's.
        threads: Of each run; None: its share of the cores, or OMP_NUM_THREADS if less.
        executor: Where runs go: 'local', or a cluster (`run_on_cluster`).
        cluster: Settings of the cluster's jobs.

    Raises:
        ConfigError: A config, key or metric is not there, a change would change nothing, or ``out``
            holds other runs.
    """
    out = Path(out).resolve()
    check_pattern(metric or "")
    swaps = [Swap.parse(swap) if isinstance(swap, str) else swap for swap in swaps]
    threshold = Threshold.parse(learned) if isinstance(learned, str) else learned
    plan = make_plan([*map(os.fspath, configs)], swaps, out, seeds, options or {}, paired, metric)
    _check_against(against, plan)
    jobs = jobs or jobs_of(executor)
    here = threads or num_threads(jobs or 1)
    threads = here if executor == "local" else threads or threads_of(cluster)
    found = _run(plan.runs, executor, out / "jobs", cluster, scripts, threads, jobs)
    figures = measure_all(plan, out, here)
    rows = build_rows(_by_variant(plan, found), figures, metric, threshold, against)
    write_tables(out, rows, _settings(plan, swaps, seeds, jobs, threads), threshold)
    write_page(out, rows, threshold, seeds)
    return rows


def _check_against(against: str | None, plan: Plan) -> None:
    names = [variant.name for variant in plan.variants]
    if against not in (None, *names):
        raise ConfigError(f"--against {against}: the variants are {', '.join(names)}")


def _run(
    runs: Sequence[Run],
    executor: str,
    folder: Path,
    cluster: Mapping[str, Any] | None,
    scripts: Scripts | None,
    threads: int,
    jobs: int | None,
) -> dict[Path, dict | str]:
    """Results by folder, of this machine or a cluster."""
    if executor == "local":
        return run_all(runs, jobs, scripts, threads)
    return run_on_cluster(runs, executor, folder, cluster, scripts, threads, jobs)


def _by_variant(plan: Plan, found: Mapping[Path, Any]) -> dict[str, list]:
    """Results of each variant's seeds, in their order."""
    results: dict[str, list] = {variant.name: [] for variant in plan.variants}
    for each in plan.runs:
        results[each.folder.parent.name].append(found[each.folder])
    return results


def _settings(
    plan: Plan, swaps: Sequence[Swap], seeds: int, jobs: int | None, threads: int
) -> dict:
    """What was compared and where, for the table of facts."""
    return {
        "configs": sorted({variant.config.stem for variant in plan.variants}),
        "swaps": [asdict(swap) for swap in swaps],
        "seeds": list(range(seeds)),
        "starts_by_name": any(_START in run.options for run in plan.runs),
        "jobs": jobs,
        "threads": threads,
        **facts(),
    }


def make_plan(
    configs: Sequence[str],
    swaps: Sequence[Swap],
    out: Path,
    seeds: int,
    options: Mapping[str, str],
    paired: bool = True,
    metric: str | None = None,
) -> Plan:
    """Variants and runs; reads every config, so that a change without an effect ends here.

    Raises:
        ConfigError: There is such a change, a number of epochs that is none, or a test without a
            score of its own and no ``metric``.
    """
    loaded = {path: read_config(path) for path in map(find_config, configs)}
    contents = {path: config.to_dict() for path, config in loaded.items()}
    for content in contents.values():
        check_scored(content.get("test_evaluator"), metric)
    variants = [
        _with_effect(variant, contents[variant.config])
        for variant in make_variants(contents, swaps, options)
    ]
    runs = []
    for variant in variants:
        text = json.dumps(contents[variant.config], sort_keys=True, default=str)
        epochs = _epochs_of(variant, contents[variant.config])
        can_pair = paired and imports_plugin(loaded[variant.config])
        start = {_START: "SeedByNameHook"} if can_pair else {}
        given = [f"{key}={value}" for key, value in variant.options.items()]
        checks = runner_of(loaded[variant.config], given)
        start |= dict(change.split("=", 1) for change in checks)
        for seed in range(seeds):
            folder = out / "runs" / variant.name / f"seed{seed}"
            own = {**options_of(variant, seed), **start}
            files = digests_of(own, contents[variant.config])
            mark = fingerprint(text, {**own, "seed": seed, **files})
            options = {**own, "randomness.seed": seed}
            name = f"{variant.name} seed {seed}"
            runs.append(Run(name, variant.config, folder, epochs, mark, options))
    _check_differ(runs)
    # seed by seed, so that a comparison cut short has all variants
    return Plan(variants, [run for seed in range(seeds) for run in runs[seed::seeds]])


def digests_of(options: Mapping[str, object], config: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the files that a run is told to start from, by their paths.

    Raises:
        ConfigError: The one of ``load_from`` is not there.
    """
    start = str(options.get("load_from", config.get("load_from"))).strip("'\"")
    if start != "None":
        check_start(start, str(options.get("runner_type", config.get("runner_type"))))
    paths = {os.path.expanduser(str(value)) for value in (start, *options.values())}
    return {path: sha256_of(path) for path in sorted(paths) if os.path.isfile(path)}


def _check_differ(runs: Sequence[Run]) -> None:
    """Refuse two variants of the same settings, whose difference would be none.

    Raises:
        ConfigError: There are such.
    """
    seen: dict[str, str] = {}
    for run in runs:
        first = seen.setdefault(run.fingerprint, run.name)
        if first != run.name:
            raise ConfigError(f"{first} and {run.name}: are the same run under two names")


def _with_effect(variant: Variant, config: Mapping[str, Any]) -> Variant:
    """The same, with options that all change something; one that would not is an error."""
    try:
        changes = checked_changes(config, [f"{k}={v}" for k, v in variant.options.items()])
    except ConfigError as error:
        raise ConfigError(f"{variant.name}: {error}") from None
    return replace(variant, options=dict(change.split("=", 1) for change in changes))


def _epochs_of(variant: Variant, config: Mapping[str, Any]) -> int:
    """How long a variant trains; 1 where the config counts otherwise."""
    own = (config.get("train_cfg") or {}).get("max_epochs") or 1
    given = variant.options.get(_EPOCHS, own)
    try:
        epochs = float(given)
    except ValueError:
        epochs = math.nan
    if not (epochs.is_integer() and epochs >= 1):
        raise ConfigError(f"{variant.name}: {_EPOCHS}={given}: expected a whole number above 0")
    return int(epochs)


def options_of(variant: Variant, seed: int) -> dict[str, str]:
    """A variant's options for one seed."""
    return {
        key: str(value).replace("{seed}", str(seed)).replace("{variant}", variant.name)
        for key, value in variant.options.items()
    }


def measure_all(plan: Plan, out: Path, threads: int) -> dict[str, dict | str]:
    """Costs of every variant, one process after the other, so that none disturbs another's time.

    What an earlier call measured of the same config, options and threads is only read.

    Returns:
        By variant's name: the figures, or why there are none.
    """
    figures: dict[str, dict | str] = {}
    programs = Programs(threads)
    measured = list(zip(plan.variants, plan.runs))  # each with its run of seed 0
    for variant, run in tqdm(measured, desc="measuring", unit="variant"):
        path = out / "runs" / variant.name / "figures.json"
        mark = fingerprint(run.fingerprint, {"threads": threads, **facts()["machine"]})
        try:
            if _mark_of(path) != mark:
                _measure(replace(variant, options=options_of(variant, 0)), path, programs)
                write_json(path, {**read_json(path), "fingerprint": mark})
            figures[variant.name] = read_json(path)
        except ConfigError as error:
            figures[variant.name] = str(error)
    return figures


def _mark_of(path: Path) -> str | None:
    """What figures were measured of; None where there are none, or nobody knows."""
    content = read_json(path) if path.is_file() else None
    return content.get("fingerprint") if isinstance(content, dict) else None


def _measure(variant: Variant, path: Path, programs: Programs) -> None:
    """Write a variant's figures, by a process of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["-m", "gemini_det3d.apis.comparison.measure", variant.config, path]
    programs.follow([*command, *variant.arguments()], path.with_suffix(".log"), name="measuring")

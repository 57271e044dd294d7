"""Variants of a detector trained and tested alike, in one table with its costs."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from gemini_det3d.apis.comparison import (
    Row,
    Swap,
    Threshold,
    Variant,
    build_rows,
    make_variants,
)
from gemini_det3d.apis.comparison.table import markdown, write_tables
from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.machine import facts, num_cores
from gemini_det3d.apis.process import Programs
from gemini_det3d.apis.runs import Run, Scripts, fingerprint, run_all

_PLUGIN, _START = "gemini_det3d.plugin", "default_hooks.start.type"
EPILOG = """\
Example: every operator in one detector, three seeds, beside a detector without a camera
  gemini-det3d compare CONFIG LIDAR_ONLY_CONFIG --seeds 3 --jobs 2 --out work_dirs/operators \\
    --swap model.pts_voxel_encoder.fusion_layer.operator.type=GeminiFusion,SumFusion

A config takes the swaps whose key it has. Runs of one seed are pairs: same data in the same order,
same initial weights wherever the variants share them; every variant is tested against the first by
a permutation test over its pairs. Training and testing are mmdet3d's own scripts. Started
again, the command goes on where it stopped; a variant that fails is reported and does not end the
others. --out holds table.md, table.csv, table.json, chart.png, and logs and checkpoints by run.
Exit code: 0, or 1 when a run failed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to compare and where to put it."""
    add = parser.add_argument
    add("configs", nargs="+", metavar="CONFIG", help="a config, by path or name")
    add("--swap", action="append", default=[], metavar="KEY=A,B", help="a key and its values")
    add("--seeds", type=int, default=1, help="runs of each variant, seeds 0, 1, ... (1)")
    add("--jobs", type=int, default=1, help="runs at a time; the cores are shared (1)")
    add("--out", type=Path, required=True, help="folder for tables, logs and checkpoints")
    add(
        "--learned",
        metavar="SCORE[,LOSS<VALUE]",
        help="a run with this score or more learned, in the epoch from which the loss stays below",
    )
    add("--against", metavar="VARIANT", help="whom all are tested against, seed by seed (first)")
    add(
        "--unpaired",
        action="store_true",
        help="initial weights by the order of drawing, as without this command, not by name",
    )
    add("--metric", metavar="REGEX", help="keys whose mean is the score (KITTI: 3D moderate)")
    add("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="set in every variant")


def run(args: argparse.Namespace) -> int:
    """Train, test, measure, and write the tables."""
    for name in ("seeds", "jobs"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be 1 or more")
    rows = compare(
        args.configs,
        args.swap,
        args.out,
        seeds=args.seeds,
        jobs=args.jobs,
        options=_options(args.cfg_options),
        metric=args.metric,
        learned=args.learned,
        against=args.against,
        paired=not args.unpaired,
    )
    print(f"\n{markdown(rows, _threshold(args.learned))}\n\neverything is in {args.out}")
    return 1 if any(row.faults for row in rows) else 0


@dataclass(frozen=True)
class Plan:
    """What a comparison runs.

    Attributes:
        variants: Its rows.
        runs: Every variant with every seed.
    """

    variants: list[Variant]
    runs: list[Run]


def compare(
    configs: Sequence[str | os.PathLike],
    swaps: Sequence[Swap | str],
    out: str | os.PathLike,
    seeds: int = 1,
    jobs: int = 1,
    options: Mapping[str, str] | None = None,
    metric: str | None = None,
    learned: Threshold | str | None = None,
    against: str | None = None,
    paired: bool = True,
    scripts: Scripts | None = None,
) -> list[Row]:
    """Train and test every variant with every seed; same data, schedule and scripts for all.

    Args:
        configs: Paths or names.
        swaps: Keys and the values they take in turn, as ``"key=A,B"`` or parsed.
        out: Folder of tables and runs; what is finished there is kept.
        seeds: Seeds 0 to ``seeds - 1`` for each variant.
        jobs: Runs at a time.
        options: Dotted key -> value, set in every variant.
        metric: See :func:`gemini_det3d.apis.comparison.headline`.
        learned: From where on a run counts as learned, as ``"94,loss_cls<0.6"`` or parsed.
        against: The variant that all are tested against, seed by seed; None: the first.
        paired: Runs of one seed start from the same weights wherever variants share them
            (`SeedByNameHook`; of configs that import this plug-in).
        scripts: Programs to train and test with; None: mmdet3d's.

    Returns:
        Rows, in the order of configs and values.

    Raises:
        ConfigError: A config, key or metric is not there, or ``out`` holds other runs.
    """
    out = Path(out).resolve()
    swaps = [Swap.parse(swap) if isinstance(swap, str) else swap for swap in swaps]
    threshold = _threshold(learned)
    names = [os.fspath(config) for config in configs]
    plan = make_plan(names, swaps, out, seeds, options or {}, paired)
    if against is not None and against not in [variant.name for variant in plan.variants]:
        variants = ", ".join(variant.name for variant in plan.variants)
        raise ConfigError(f"--against {against}: the variants are {variants}")
    found = run_all(plan.runs, jobs, scripts)
    results: dict[str, list] = {variant.name: [] for variant in plan.variants}
    for a_run in plan.runs:
        results[a_run.folder.parent.name].append(found[a_run.folder])
    figures = measure_all(plan.variants, out, max(1, num_cores() // jobs))
    rows = build_rows(results, figures, metric, threshold, against)
    compared = {
        "configs": sorted({variant.config.stem for variant in plan.variants}),
        "swaps": [asdict(swap) for swap in swaps],
        "seeds": list(range(seeds)),
        "starts_by_name": any(_START in run.options for run in plan.runs),
    }
    write_tables(out, rows, {**compared, **facts()}, threshold)
    return rows


def make_plan(
    configs: Sequence[str],
    swaps: Sequence[Swap],
    out: Path,
    seeds: int,
    options: Mapping[str, str],
    paired: bool = True,
) -> Plan:
    """Variants and runs; reads every config, so that a wrong key ends here."""
    from mmengine.config import Config

    loaded = {path: Config.fromfile(path) for path in map(find_config, configs)}
    contents = {path: config.to_dict() for path, config in loaded.items()}
    variants = make_variants(contents, swaps, options)
    runs = []
    for variant in variants:
        text = json.dumps(contents[variant.config], sort_keys=True, default=str)
        epochs = contents[variant.config].get("train_cfg", {}).get("max_epochs") or 1
        epochs = int(variant.options.get("train_cfg.max_epochs", epochs))
        plugs = contents[variant.config].get("custom_imports") or {}
        can_pair = paired and _PLUGIN in plugs.get("imports", ())
        start = {_START: "SeedByNameHook"} if can_pair else {}
        for seed in range(seeds):
            folder = out / "runs" / variant.name / f"seed{seed}"
            own = {**variant.options, **start}
            mark = fingerprint(text, {**own, "seed": seed})
            options = {**own, "randomness.seed": seed}
            name = f"{variant.name} seed {seed}"
            runs.append(Run(name, variant.config, folder, epochs, mark, options))
    # seed by seed, so that a comparison cut short has all variants
    return Plan(variants, [run for seed in range(seeds) for run in runs[seed::seeds]])


def measure_all(variants: Sequence[Variant], out: Path, threads: int) -> dict[str, dict | str]:
    """Costs of every variant, one process after the other, so that none disturbs another's time.

    Returns:
        By variant's name: the figures, or why there are none.
    """
    figures: dict[str, dict | str] = {}
    programs = Programs(threads)
    for variant in tqdm(variants, desc="measuring", unit="variant"):
        path = out / "runs" / variant.name / "figures.json"
        command = ["-m", "gemini_det3d.apis.comparison.measure", variant.config, path]
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not path.is_file():
                log = path.with_suffix(".log")
                programs.follow([*command, *variant.arguments()], log, name="measuring")
            figures[variant.name] = json.loads(path.read_text(encoding="utf-8"))
        except ConfigError as error:
            figures[variant.name] = str(error)
    return figures


def _options(texts: Sequence[str]) -> dict[str, str]:
    options = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not (key and sign):
            raise ConfigError(f"--cfg-options {text!r}: expected KEY=VALUE")
        options[key] = value
    return options


def _threshold(learned: Threshold | str | None) -> Threshold | None:
    return Threshold.parse(learned) if isinstance(learned, str) else learned

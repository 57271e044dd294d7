"""Variants of a detector trained and tested alike, in one table with its costs."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

from gemini_det3d.apis.comparison import Run, Swap, Variant, build_rows, make_variants
from gemini_det3d.apis.comparison.runs import Scripts, fingerprint, run_all
from gemini_det3d.apis.comparison.table import markdown, write_tables
from gemini_det3d.apis.config import ConfigError, find_config, mmdet3d_mim

PACKAGES = ("torch", "numpy", "mmengine", "mmcv", "mmdet", "mmdet3d", "spconv", "gemini_det3d")
EPILOG = """\
Example: every operator in one detector, three seeds, beside a detector without a camera
  gemini-det3d compare CONFIG LIDAR_ONLY_CONFIG --seeds 3 --jobs 2 --out work_dirs/operators \\
    --swap model.pts_voxel_encoder.fusion_layer.operator.type=GeminiFusion,SumFusion

A config takes the swaps whose key it has. Training and testing are mmdet3d's own scripts. Started
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
    add("--metric", metavar="REGEX", help="keys whose mean is the score (KITTI: 3D moderate)")
    add("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="set in every variant")


def run(args: argparse.Namespace) -> int:
    """Train, test, measure, and write the tables."""
    for name in ("seeds", "jobs"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be 1 or more")
    rows = compare(
        args.configs,
        [Swap.parse(text) for text in args.swap],
        args.out,
        seeds=args.seeds,
        jobs=args.jobs,
        options=_options(args.cfg_options),
        metric=args.metric,
    )
    print(f"\n{markdown(rows)}\n\neverything is in {args.out}")
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
    configs: Sequence[str],
    swaps: Sequence[Swap],
    out: Path,
    seeds: int = 1,
    jobs: int = 1,
    options: Mapping[str, str] | None = None,
    metric: str | None = None,
    scripts: Scripts | None = None,
) -> list:
    """Train and test every variant with every seed; same data, schedule and scripts for all.

    Args:
        configs: Paths or names.
        swaps: Keys and the values they take in turn.
        out: Folder of tables and runs; what is finished there is kept.
        seeds: Seeds 0 to ``seeds - 1`` for each variant.
        jobs: Runs at a time.
        options: Dotted key -> value, set in every variant.
        metric: See :func:`gemini_det3d.apis.comparison.headline`.
        scripts: Programs to train and test with; None: mmdet3d's.

    Returns:
        Rows, in the order of configs and values.

    Raises:
        ConfigError: A config, key or metric is not there, or ``out`` holds other runs.
    """
    out = out.resolve()
    plan = make_plan(configs, swaps, out, seeds, options or {})
    if scripts is None:
        tools = mmdet3d_mim() / "tools"
        scripts = Scripts(tools / "train.py", tools / "test.py")
    threads = max(1, num_cores() // jobs)
    found = run_all(plan.runs, scripts, jobs, threads)
    results: dict[str, list] = {variant.name: [] for variant in plan.variants}
    for a_run in plan.runs:
        results[a_run.variant.name].append(found[a_run.folder])
    figures = measure_all(plan.variants, out, threads)
    rows = build_rows(results, figures, metric)
    write_tables(out, rows, facts(plan, swaps, seeds))
    return rows


def make_plan(
    configs: Sequence[str],
    swaps: Sequence[Swap],
    out: Path,
    seeds: int,
    options: Mapping[str, str],
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
        for seed in range(seeds):
            folder = out / "runs" / variant.name / f"seed{seed}"
            mark = fingerprint(text, {**variant.options, "seed": seed})
            runs.append(Run(variant, seed, folder, epochs, mark))
    # seed by seed, so that a comparison cut short has all variants
    return Plan(variants, sorted(runs, key=lambda run: run.seed))


def measure_all(variants: Sequence[Variant], out: Path, threads: int) -> dict[str, dict | str]:
    """Costs of every variant, one process after the other, so that none disturbs another's time.

    Returns:
        By variant's name: the figures, or why there are none.
    """
    figures: dict[str, dict | str] = {}
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    for variant in tqdm(variants, desc="measuring", unit="variant"):
        path = out / "runs" / variant.name / "figures.json"
        if not path.is_file():
            module = ["-m", "gemini_det3d.apis.comparison.measure"]
            command = [sys.executable, *module, variant.config, path, *variant.arguments()]
            done = subprocess.run(
                list(map(str, command)), capture_output=True, text=True, env=environment
            )
            if done.returncode:
                figures[variant.name] = (done.stderr.strip().splitlines() or ["no message"])[-1]
                continue
        figures[variant.name] = json.loads(path.read_text(encoding="utf-8"))
    return figures


def facts(plan: Plan, swaps: Sequence[Swap], seeds: int) -> dict:
    """What a reader needs to repeat the comparison."""
    return {
        "command": shlex.join(["gemini-det3d", *sys.argv[1:]]),
        "configs": sorted({variant.config.stem for variant in plan.variants}),
        "swaps": [asdict(swap) for swap in swaps],
        "seeds": list(range(seeds)),
        "machine": {"cores": num_cores(), "architecture": platform.machine()},
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _options(texts: Sequence[str]) -> dict[str, str]:
    options = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not (key and sign):
            raise ConfigError(f"--cfg-options {text!r}: expected KEY=VALUE")
        options[key] = value
    return options

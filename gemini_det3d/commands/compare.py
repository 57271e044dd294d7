"""Variants of a detector trained and tested alike, in one table with its costs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from gemini_det3d.apis.cluster import CLUSTERS, parse_settings
from gemini_det3d.apis.comparison.compare import compare
from gemini_det3d.apis.comparison.paired import Threshold
from gemini_det3d.apis.comparison.table import markdown
from gemini_det3d.apis.config import ConfigError

EPILOG = """\
Example: every operator in one detector, three seeds, beside a detector without a camera
  gemini-det3d compare CONFIG LIDAR_ONLY_CONFIG --seeds 3 --jobs 2 --out work_dirs/operators \\
    --swap model.pts_voxel_encoder.fusion_layer.operator.type=GeminiFusion,SumFusion

A config takes the swaps whose key it has; a value may bring others of the same part along, as in
operator.type='SumFusion,GeminiFusion;init=balanced'. Runs of one seed are pairs: same data in the
same order, same initial weights wherever the variants share them; every variant is tested against
the first by a permutation test over its pairs. Training and testing are mmdet3d's own scripts.
Started again, the command goes on where it stopped; a variant that fails is reported and does not
end the others. --out holds report.html, table.md, table.csv, table.json, chart.png, and logs
and checkpoints by run.
Exit code: 0, or 1 when a run failed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to compare and where to put it."""
    add = parser.add_argument
    add("configs", nargs="+", metavar="CONFIG", help="a config, by path or name")
    add("--swap", action="append", default=[], metavar="KEY=A,B", help="a key and its values")
    add("--seeds", type=int, default=1, help="runs of each variant, seeds 0, 1, ... (1)")
    add(
        "--jobs",
        type=int,
        help="runs at a time; cores and GPUs are shared (one a GPU, or 1; Slurm: all)",
    )
    add(
        "--threads",
        type=int,
        help="of each run (its share of the cores, or OMP_NUM_THREADS; Slurm: cpus_per_task)",
    )
    add("--executor", choices=["local", *CLUSTERS], default="local",
        help="where runs go: here, jobs of Slurm, or submitit's own processes here")  # fmt: skip
    add("--slurm", nargs="+", default=[], metavar="KEY=VALUE",
        help="settings of jobs: slurm_partition, timeout_min, gpus_per_node (1), ...")  # fmt: skip
    add("--out", type=Path, required=True, help="folder for tables, logs and checkpoints")
    add(
        "--learned",
        metavar="SCORE[,LOSS<VALUE]",
        help="a run with this score or more (of an error: or less) learned, in the epoch from "
        "which the loss stays below",
    )
    add("--against", metavar="VARIANT", help="whom all are tested against, seed by seed (first)")
    add(
        "--unpaired",
        action="store_true",
        help="initial weights by the order of drawing, as without this command, not by name",
    )
    add("--metric", metavar="REGEX", help="keys whose mean is the score (KITTI: 3D moderate)")
    add(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="set in every variant; {seed} and {variant} in a value stand for the run's",
    )


def run(args: argparse.Namespace) -> int:
    """Train, test, measure, and write the tables."""
    for name in ("seeds", "jobs", "threads"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be 1 or more")
    threshold = Threshold.parse(args.learned) if args.learned else None
    rows = compare(
        args.configs,
        args.swap,
        args.out,
        seeds=args.seeds,
        jobs=args.jobs,
        options=_options(args.cfg_options),
        metric=args.metric,
        learned=threshold,
        against=args.against,
        paired=not args.unpaired,
        threads=args.threads,
        executor=args.executor,
        cluster=parse_settings(args.slurm),
    )
    print(f"\n{markdown(rows, threshold)}\n\neverything is in {args.out}")
    return 1 if any(row.faults for row in rows) else 0


def _options(texts: Sequence[str]) -> dict[str, str]:
    options = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not (key and sign):
            raise ConfigError(f"--cfg-options {text!r}: expected KEY=VALUE")
        options[key] = value
    return options

"""Check a config's training data: do augmented points, boxes and image fit each other?"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from gemini_det3d.apis.alignment.agreement import LIMITS, Verdict
from gemini_det3d.apis.alignment.check import check_alignment
from gemini_det3d.apis.config import ConfigError, read_changed_config
from gemini_det3d.apis.reports import facts_section, write_report
from gemini_det3d.commands import add_changes, add_seed
from gemini_det3d.visualization.report import Pictures, Table

EPILOG = """\
Every sample goes through the config's own training pipeline, augmentation included, and is
projected by the model's own code. Labelled 2D boxes are moved by the pipeline, without any
calibration. For detectors in the LiDAR frame, with one camera or several.
Exit code: 0 when all agree, 1 when they do not.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which data, how many samples, and where pictures go."""
    add = parser.add_argument
    add("config", help="a config, by path or name")
    add("--samples", type=int, default=16, help="frames to check (16)")
    add("--pictures", type=int, default=8, help="of these, frames to draw (8)")
    add(
        "--out",
        type=Path,
        default=Path("work_dirs/alignment"),
        help="folder for report.html and pictures",
    )
    add_seed(parser, "the augmentation")
    add_changes(parser)


def run(args: argparse.Namespace) -> int:
    """Check, draw, and print the verdict."""
    if args.samples < 1:
        raise ConfigError(f"--samples {args.samples}: must be 1 or more")
    config = read_changed_config(args.config, args.cfg_options)
    verdict = check_alignment(config, args.samples, args.pictures, args.out, args.seed)
    for name, (sign, limit, meaning) in LIMITS.items():
        if not math.isnan(verdict.medians[name]):
            objects = f"{verdict.counts[name]} objects"
            print(f"{verdict.medians[name]:6.3f}  {meaning} (median of {objects}, {sign} {limit})")
    print("\n".join(verdict.gaps + verdict.faults))
    print(f"report: {_report(args, verdict)}")
    print("NOT ALIGNED" if verdict.faults else "aligned")
    return 1 if verdict.faults else 0


def _report(args: argparse.Namespace, verdict: Verdict) -> Path:
    """The page with the medians and the pictures."""
    rows = [
        [meaning, verdict.medians[name], f"{sign} {limit}", verdict.counts[name]]
        for name, (sign, limit, meaning) in LIMITS.items()
    ]
    head = ["what", "median", "must be", "objects"]
    pictures = Pictures("Augmented samples", verdict.pictures)
    sections = [Table("Agreement", head, rows, digits=3), pictures,
                facts_section({"seed": args.seed})]  # fmt: skip
    verdicts = ["NOT ALIGNED" if verdict.faults else "aligned", *verdict.gaps, *verdict.faults]
    return write_report(args.out, f"Alignment of {Path(args.config).stem}", sections, verdicts)

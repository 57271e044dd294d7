"""Table of a detector or segmentor under corrupted sensors."""

from __future__ import annotations

import argparse
import csv
import io
import statistics
from pathlib import Path

from gemini_det3d.apis.checkpoint import add_allow_missing, allow_missing
from gemini_det3d.apis.config import ConfigError, read_changed_config
from gemini_det3d.apis.robustness import Robustness, evaluate_robustness, read_robustness
from gemini_det3d.corruptions import CORRUPTIONS, SEVERITIES
from gemini_det3d.formats.tables import markdown_table
from gemini_det3d.formats.text import write_text

EPILOG = """\
Corruptions of the camera (weather, light, blur, noise, coding, faults), the LiDAR (weather, loss,
errors), their alignment, sensors that are gone, and, for aligned images, noise on each of them;
--list shows them all. RR is the share of the clean score that is kept, RCE the share lost, and CE
the error against the one of --baseline. --out holds robustness.md, .csv and .json; the same command
goes on where it stopped.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, conditions, outputs."""
    add = parser.add_argument
    add("config", nargs="?", help="a config, by path or name")
    add("checkpoint", nargs="?", type=Path, help="its trained parameters")
    add("--corruptions", nargs="+", metavar="NAME", help="some of them (all that apply)")
    add("--severities", nargs="+", type=int, default=list(SEVERITIES), choices=SEVERITIES)
    add("--frames", type=int, help="frames of the test set, evenly spread (all)")
    add("--metric", metavar="REGEX", help="keys whose mean is the score (KITTI: 3D moderate)")
    add("--baseline", type=Path, help="robustness.json of the model to compare with")
    add("--seed", type=int, default=0, help="of the corruptions (0)")
    add("--out", type=Path, default=Path("work_dirs/robustness"), help="folder to write")
    add("--device", help="cpu or cuda:0 (default: CUDA where there is one)")
    add("--list", action="store_true", help="list the corruptions and end")
    add_allow_missing(parser)
    add("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the config")


def run(args: argparse.Namespace) -> int:
    """Test, print, write.

    Raises:
        ConfigError: The config, a corruption or an option does not fit.
        FormatError: A file cannot be read.
    """
    if args.list:
        print(_overview())
        return 0
    if args.config is None or args.checkpoint is None:
        raise ConfigError("eval-robustness: needs CONFIG and CHECKPOINT (or --list)")
    if args.frames is not None and args.frames < 1:
        raise ConfigError(f"--frames {args.frames}: must be 1 or more")
    baseline = read_robustness(args.baseline) if args.baseline else None
    config = read_changed_config(args.config, args.cfg_options)
    allow_missing(config, args.allow_missing)
    found = evaluate_robustness(
        config,
        args.checkpoint,
        args.out,
        args.corruptions,
        args.severities,
        args.frames,
        args.metric,
        args.seed,
        args.device,
    )
    table = robustness_table(found, baseline)
    print(f"\n{table}\n")
    write_text(args.out / "robustness.md", table + "\n")
    write_text(args.out / "robustness.csv", _csv(found))
    print(f"everything is in {args.out}")
    return 0


def robustness_table(found: Robustness, baseline: Robustness | None = None) -> str:
    """Scores of every condition, means of families, and mRR, mRCE, mCE, as Markdown."""
    summary = found.summary(baseline)
    severities = list(next(iter(found.corrupted.values())))
    extra = ["CE"] if baseline else []
    head = ["family", "corruption", *(f"severity {s}" for s in severities), "mean", "RR", *extra]
    rows = [
        ["", "none", *[found.clean] * len(severities), found.clean, 100.0, *["" for _ in extra]]
    ]
    families: dict[str, list[float]] = {}
    for name, scores in found.corrupted.items():
        mean = statistics.fmean(scores.values())
        families.setdefault(CORRUPTIONS[name].family, []).append(mean)
        errors = [summary.error[name]] if baseline else []
        cells = [*scores.values(), mean, summary.resilience[name], *errors]
        rows.append([CORRUPTIONS[name].family, name, *cells])
    means = [[family, len(values), statistics.fmean(values)] for family, values in families.items()]
    lines = [f"mRR {summary.mrr:.2f}, mRCE {summary.mrce:.2f}"]
    if baseline:
        lines[0] += f", mCE {summary.mce:.2f}"
    lines[0] += f" over {len(found.corrupted)} corruptions, {found.frames} frames"
    by_family = markdown_table(["family", "corruptions", "mean score"], means)
    return "\n\n".join([markdown_table(head, rows, left=2), by_family, *lines])


def _csv(found: Robustness) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["family", "corruption", "severity", "score"])
    writer.writerow(["", "none", 0, found.clean])
    for name, scores in found.corrupted.items():
        for severity, score in scores.items():
            writer.writerow([CORRUPTIONS[name].family, name, severity, score])
    return text.getvalue()


def _overview() -> str:
    rows = [
        [each.family, name, each.target, ", ".join(map(str, each.levels)), each.meaning]
        for name, each in CORRUPTIONS.items()
    ]
    return markdown_table(["family", "name", "changes", "severities 1 to 5", "unit"], rows, left=5)

"""Table of a detector or segmentor under corrupted sensors."""

from __future__ import annotations

import argparse
import csv
import io
import statistics
from pathlib import Path
from typing import Any

from gemini_det3d.apis.comparison.corrupted import evaluate_runs
from gemini_det3d.apis.comparison.corrupted_table import markdown, write_corrupted
from gemini_det3d.apis.config import ConfigError, read_changed_config
from gemini_det3d.apis.reports import facts_section, write_report
from gemini_det3d.apis.robustness import evaluate_robustness
from gemini_det3d.apis.robustness_file import Robustness, read_robustness
from gemini_det3d.commands import add_model_options, add_seed
from gemini_det3d.corruptions import CORRUPTIONS, SEVERITIES
from gemini_det3d.formats.tables import markdown_table
from gemini_det3d.formats.text import write_text
from gemini_det3d.visualization.report import Chart, Charts, Section, Series, Table

EPILOG = """\
Corruptions of the camera (weather, light, blur, noise, coding, faults), the LiDAR (weather, loss,
errors), their alignment, sensors that are gone, and, for aligned images, noise on each of them;
--list shows them all. RR is the share of the clean score that is kept, RCE the share lost, and CE
the error against the one of --baseline. --out holds report.html,
robustness.md, .csv and .json; the same command goes on where it stopped.

Example: do the variants of a comparison differ when sensors fail?
  gemini-det3d eval-robustness --runs work_dirs/operators --severities 3 \\
    --corruptions camera_gone lidar_gone fog lidar_fog camera_turned

With --runs, --out holds report.html, table.md, .csv and .json: the scores of every run, and each
variant against the first (or --against), seed by seed, by a permutation test.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, conditions, outputs."""
    add = parser.add_argument
    add("config", nargs="?", help="a config, by path or name")
    add("checkpoint", nargs="?", type=Path, help="its trained parameters")
    add("--corruptions", nargs="+", metavar="NAME", help="some of them (all that apply)")
    add("--severities", nargs="+", type=int, default=list(SEVERITIES), choices=SEVERITIES,
        help="from 1 (weak) to 5 (strong) (all)")  # fmt: skip
    add("--frames", type=int, help="frames of the test set, evenly spread (all)")
    add("--metric", metavar="REGEX", help="keys whose mean is the score (KITTI: 3D moderate)")
    add("--baseline", type=Path, help="robustness.json of the model to compare with")
    add("--runs", type=Path, metavar="FOLDER",
        help="of compare: its finished runs in place of CONFIG and CHECKPOINT")  # fmt: skip
    add("--against", metavar="VARIANT", help="of --runs, whom all are held against (first)")
    add_seed(parser, "the corruptions, and of what the test set draws")
    add("--out", type=Path,
        help="folder to write (work_dirs/robustness; of --runs: FOLDER/robustness)")  # fmt: skip
    add("--list", action="store_true", help="list the corruptions and end")
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Test, print, write.

    Raises:
        ConfigError: The config, a corruption or an option does not fit.
        FormatError: A file cannot be read.
    """
    if args.list:
        print(_overview())
        return 0
    if args.frames is not None and args.frames < 1:
        raise ConfigError(f"--frames {args.frames}: must be 1 or more")
    if args.runs is not None:
        return _run_comparison(args)
    if args.config is None or args.checkpoint is None:
        raise ConfigError("needs CONFIG and CHECKPOINT (or --runs, or --list)")
    if args.against is not None:
        raise ConfigError("--against: goes with --runs")
    out = args.out or Path("work_dirs/robustness")
    baseline = read_robustness(args.baseline) if args.baseline else None
    config = read_changed_config(args.config, args.cfg_options, args.allow_missing)
    options = _conditions(args)
    found = evaluate_robustness(config, args.checkpoint, out, baseline=baseline, **options)
    table = robustness_table(found, baseline)
    print(f"\n{table}\n")
    write_text(out / "robustness.md", table + "\n")
    write_text(out / "robustness.csv", _csv(found))
    report = write_report(out, f"{Path(args.config).stem}, sensors corrupted", [
        *robustness_sections(found, baseline),
        facts_section({"checkpoint": args.checkpoint, "seed": args.seed}),
    ])  # fmt: skip
    print(f"everything is in {out}; report: {report}")
    return 0


def _conditions(args: argparse.Namespace) -> dict[str, Any]:
    """What is tested, as `evaluate_robustness` takes it."""
    names = ("corruptions", "severities", "frames", "metric", "seed", "device")
    return {name: getattr(args, name) for name in names}


def _run_comparison(args: argparse.Namespace) -> int:
    """The same for every run of a comparison; 1 where one could not be tested."""
    given = {"CONFIG": args.config, "--baseline": args.baseline}
    for name in (name for name, value in given.items() if value is not None):
        raise ConfigError(f"{name}: does not go with --runs")
    out, conditions = args.out or args.runs / "robustness", _conditions(args)
    found = evaluate_runs(
        args.runs,
        out,
        args.against,
        lambda path: read_changed_config(str(path), args.cfg_options, args.allow_missing),
        **conditions,
    )
    report = write_corrupted(out, found, {"runs": str(args.runs), **conditions})
    print(f"\n{markdown(found)}\n\neverything is in {out}; report: {report}")
    return 1 if found.faults else 0


def robustness_table(found: Robustness, baseline: Robustness | None = None) -> str:
    """Scores of every condition, means of families, and mRR, mRCE, mCE, as Markdown."""
    (head, rows), (family_head, means), line = robustness_cells(found, baseline)
    tables = markdown_table(head, rows, left=2), markdown_table(family_head, means)
    return "\n\n".join([*tables, line])


def robustness_sections(found: Robustness, baseline: Robustness | None = None) -> list[Section]:
    """The same for a page, and the score over the severity, a chart for each family."""
    (head, rows), (family_head, means), line = robustness_cells(found, baseline)
    families: dict[str, list[Series]] = {}
    for name, scores in found.corrupted.items():
        series = Series(name, [0, *scores], [found.clean, *scores.values()])
        families.setdefault(CORRUPTIONS[name].family, []).append(series)
    charts = [
        Chart(family, lines, "severity (0: none)", "score, percent", with_marks=True)
        for family, lines in families.items()
    ]
    return [
        Table("Corruptions", head, rows, left=2, note=line),
        Table("Families", family_head, means),
        Charts("Score over severity", charts),
    ]


Cells = tuple[list[str], list[list[object]]]


def robustness_cells(
    found: Robustness, baseline: Robustness | None = None
) -> tuple[Cells, Cells, str]:
    """Names and rows of the conditions and of the families, and the line with their means."""
    summary = found.summary(baseline)
    severities = list(next(iter(found.corrupted.values())))
    extra = ["CE"] if baseline else []
    head = ["family", "corruption", *(f"severity {s}" for s in severities), "mean", "RR", *extra]
    rows: list[list[object]] = [
        ["", "none", *[found.clean] * len(severities), found.clean, 100.0, *["" for _ in extra]]
    ]
    families: dict[str, list[float]] = {}
    for name, scores in found.corrupted.items():
        mean = statistics.fmean(scores.values())
        families.setdefault(CORRUPTIONS[name].family, []).append(mean)
        errors = [summary.error[name]] if baseline else []
        cells = [*scores.values(), mean, summary.resilience[name], *errors]
        rows.append([CORRUPTIONS[name].family, name, *cells])
    means: list[list[object]] = [
        [family, len(values), statistics.fmean(values)] for family, values in families.items()
    ]
    line = f"mRR {summary.mrr:.2f}, mRCE {summary.mrce:.2f}"
    if baseline:
        line += f", mCE {summary.mce:.2f}"
    line += f" over {len(found.corrupted)} corruptions, {found.frames} frames"
    return (head, rows), (["family", "corruptions", "mean score"], means), line


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

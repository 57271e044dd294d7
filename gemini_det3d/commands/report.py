"""A page about trainings: curves, tables, pictures, configs, from what mmengine left on disk."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.reports import find_trainings, write_report
from gemini_det3d.apis.reports.detection import kitti_sections
from gemini_det3d.apis.reports.training_report import lead, provenance, training_sections
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import require_folder
from gemini_det3d.formats.inputs import keep_files
from gemini_det3d.visualization.report import Pictures
from gemini_det3d.visualization.report.html import pictures_in

EPILOG = """\
WORK_DIR is a work directory of mmengine, of this project's or any other training, finished or
running, or a folder of such; trainings that differ in a folder seed0, seed1, ... are shown as mean
and deviation. Nothing in it is run. The page is one file and loads nothing; write it again while a
training runs (--watch) and reload. RESULTS and LABELS of a test add curves of precision over recall
and AP by distance.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which trainings, what else to show, where to."""
    add = parser.add_argument
    add("work_dir", type=Path, metavar="WORK_DIR", help="folder of one or more trainings")
    add("--out", type=Path, metavar="DIR", help="folder of report.html (WORK_DIR)")
    add("--base", metavar="CONFIG", help="config to compare with, by path or name")
    add("--results", type=Path, metavar="RESULTS", help="KITTI result files of the test")
    add("--labels", type=Path, metavar="LABELS", help="their label_2 folder or info file")
    add("--classes", nargs="+", metavar="NAME", help="classes of these (KITTI's three)")
    add("--split", type=Path, metavar="FILE", help="frames of these, one a line (all)")
    add("--pictures", nargs="+", type=Path, default=[], metavar="DIR",
        help="folders of PNG files to show")  # fmt: skip
    add("--watch", type=float, metavar="SECONDS", help="write it again and again until the end")


def run(args: argparse.Namespace) -> int:
    """Write the page; with --watch until all trainings are over."""
    if (args.results is None) != (args.labels is None):
        raise ConfigError("--results and --labels belong together: give both, or none")
    for name, value in (("classes", args.classes), ("split", args.split)):
        if value is not None and args.results is None:
            raise ConfigError(f"--{name} is for --results and --labels: give them, too")
    if args.watch is not None and not args.watch >= 1:
        raise ConfigError(f"--watch {args.watch:g}: must be 1 second or more")
    while True:
        path, is_over = _write(args)
        print(path, flush=True)
        if args.watch is None or is_over:
            return 0
        time.sleep(args.watch)


def _write(args: argparse.Namespace) -> tuple[Path, bool]:
    require_folder(args.work_dir)
    trainings = find_trainings(args.work_dir)
    if not trainings:
        raise FormatError(args.work_dir, "holds no training (no <time>/vis_data of mmengine)")
    sections = training_sections(trainings, args.base)
    if args.results is not None:
        sections[1:1] = kitti_sections(args.results, args.labels, args.classes, args.split)
    files = pictures_in([require_folder(folder) for folder in args.pictures])
    if args.pictures:
        sections.append(Pictures("Pictures", files))
    out = args.out or args.work_dir
    keep_files([out / "report.html"], files)
    title = args.work_dir.resolve().name
    path = write_report(out, title, [*sections, *provenance(trainings)], lead(trainings))
    return path, all(training.is_over for training in trainings)

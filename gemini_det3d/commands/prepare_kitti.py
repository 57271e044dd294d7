"""Check a raw KITTI-format tree and write mmdet3d's info files and reduced clouds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.kitti.prepare import Options, prepare_kitti
from gemini_det3d.commands import add_workers

EPILOG = """\
ROOT holds ImageSets/{train,val,test}.txt and training/{image_2,velodyne,calib,label_2}, as KITTI
unpacks; testing/ where test.txt names frames. Suffixes may be
in capitals, images of any kind. Exit code: 0 done, 1 errors found, 2 nothing to check. Training
then reads --out (default ROOT) as data_root."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("root", type=Path, metavar="ROOT", help="KITTI-format tree")
    add("--out", type=Path, help="where results go (default: ROOT)")
    add("--check-only", action="store_true", help="report, and write nothing else")
    add("--report", type=Path, metavar="FILE", help="JSON report (default: OUT/kitti_report.json)")
    add("--classes", nargs="+", default=["Pedestrian", "Cyclist", "Car"], metavar="NAME",
        help="classes to be trained (default: %(default)s)")  # fmt: skip
    add("--map-class", action="append", default=[], metavar="OLD=NEW",
        help="read class OLD as NEW; DontCare leaves it out; may be given again")  # fmt: skip
    add_workers(parser)
    add("--id-digits", type=int, default=6, metavar="N",
        help="digits of the frames' names (default: %(default)s)")  # fmt: skip
    add("--skip-bad", action="store_true", help="leave frames with errors out instead of refusing")
    add("--force", action="store_true", help="convert again although nothing has changed")
    add("--gt-database", action="store_true",
        help="also cut out objects for recipes that paste them (MVX-Net does not)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    return prepare_kitti(
        Options(
            root=args.root,
            out=args.out,
            check_only=args.check_only,
            report=args.report,
            classes=tuple(args.classes),
            class_map=_parse_class_map(args.map_class),
            workers=args.workers,
            skip_bad=args.skip_bad,
            force=args.force,
            id_digits=args.id_digits,
            gt_database=args.gt_database,
        )
    )


def _parse_class_map(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        old, equals, new = word.partition("=")
        if not (old and equals and new):
            raise ConfigError(f"--map-class {word}: expected OLD=NEW")
        pairs[old] = new
    return pairs

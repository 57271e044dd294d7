"""Check SUN RGB-D and write mmdet3d's info files and points, with or without MATLAB."""

from __future__ import annotations

import argparse
from pathlib import Path

from gemini_det3d.apis.sunrgbd.prepare import RoomOptions, prepare_sunrgbd
from gemini_det3d.commands import add_workers

EPILOG = """\
ROOT holds either sunrgbd_trainval/{image,depth,calib,label} with train_data_idx.txt and
val_data_idx.txt, as mmdet3d's MATLAB scripts extract it; or, itself or in OFFICIAL_SUNRGBD, the
official download: SUNRGBD.zip or SUNRGBD/, SUNRGBDMeta3DBB_v2.mat, SUNRGBDtoolbox (for
traintestSUNRGBD/allsplit.mat) and, where there is one, SUNRGBDMeta2DBB_v2.mat. No MATLAB is needed
for either. Training then reads --out (default ROOT) as data_root. Exit code: 0 done, 1 errors
found, 2 nothing to check."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("root", type=Path, metavar="ROOT", help="folder with the data")
    add("--out", type=Path, help="where results go (default: ROOT)")
    add("--check-only", action="store_true", help="report, and write nothing else")
    add("--report", type=Path, metavar="FILE",
        help="JSON report (default: OUT/sunrgbd_report.json)")  # fmt: skip
    add_workers(parser)
    add("--skip-bad", action="store_true", help="leave frames with errors out instead of refusing")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    return prepare_sunrgbd(
        RoomOptions(args.root, args.out, args.check_only, args.report, args.workers, args.skip_bad)
    )

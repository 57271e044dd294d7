"""KITTI's AP from result files and labels."""

from __future__ import annotations

import argparse

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.file_evaluation import (
    add_file_arguments,
    report,
)
from gemini_det3d.apis.kitti.evaluate import evaluate_files, parse_overlaps
from gemini_det3d.evaluation.functional import (
    KITTI_CLASSES,
    check_options,
)
from gemini_det3d.evaluation.functional.kitti_ap import RECALL_RULES
from gemini_det3d.evaluation.functional.kitti_rules import METRICS

EPILOG = """\
A frame without a result file counts as a frame without detections; a result file without a frame
is an error. Below 41 valid boxes KITTI's development kit cannot reach 100 (it samples recall at 41
places and gives each box one); --recall devkit follows it, for
comparison with published figures.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gemini-det3d eval-kitti``."""
    add_file_arguments(parser, "label_2 folder", KITTI_CLASSES)
    parser.add_argument(
        "--min-overlap",
        nargs="+",
        default=[],
        metavar="NAME=IOU",
        help="own overlap of a class, one number or bbox,bev,3d: Bus=0.6 Car=0.7,0.5,0.5",
    )
    parser.add_argument("--frames", nargs="+", metavar="ID", help="evaluate these frames only")
    parser.add_argument(
        "--recall",
        choices=RECALL_RULES,
        default=RECALL_RULES[0],
        help="recall positions below 41 boxes; KITTI's own: devkit",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the report, write what was asked for."""
    overlaps = parse_overlaps(args.min_overlap, args.classes)
    try:
        check_options(args.classes, METRICS, args.recall)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    evaluation = evaluate_files(
        args.results,
        args.annotations,
        args.classes,
        split=args.split,
        frames=args.frames,
        min_overlaps=overlaps,
        recall=args.recall,
    )
    return report(evaluation, args)

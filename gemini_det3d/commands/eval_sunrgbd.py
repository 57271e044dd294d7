"""AP of boxes in rooms from result files and labels, by the rules of mmdet3d's IndoorMetric."""

from __future__ import annotations

import argparse

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.file_evaluation import (
    add_file_arguments,
    report,
)
from gemini_det3d.apis.sunrgbd.evaluate import evaluate_room_files
from gemini_det3d.evaluation.functional.indoor import (
    DEFAULT_THRESHOLDS,
    check_indoor_options,
)
from gemini_det3d.formats.sunrgbd import (
    SUNRGBD_CLASSES,
)

EPILOG = """\
A result file is <frame>.txt with a line "class x y z dx dy dz yaw score" for each detection: the
centre, the extents before the turn (metres, depth frame: x right, y front, z up), yaw from +x
towards +y (radians). IndoorDetectionMetric writes them (txt_dir=...). A frame without a file
counts as a frame without detections; a file without a frame is an error.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gemini-det3d eval-sunrgbd``."""
    add_file_arguments(parser, "label folder of sunrgbd_trainval", SUNRGBD_CLASSES)
    parser.add_argument(
        "--iou",
        nargs="+",
        type=float,
        default=list(DEFAULT_THRESHOLDS),
        metavar="IOU",
        help="overlaps (default: 0.25 0.5)",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the report, write what was asked for."""
    if not all(0 < value < 1 for value in args.iou):
        given = " ".join(map(str, args.iou))
        raise ConfigError(f"--iou {given}: overlaps lie between 0 and 1")
    try:
        check_indoor_options(args.classes, args.iou)
    except ValueError as error:
        raise ConfigError(f"--classes: {error}") from None
    evaluation = evaluate_room_files(
        args.results, args.annotations, args.classes, args.iou, split=args.split
    )
    return report(evaluation, args)

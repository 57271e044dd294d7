"""AP of boxes in rooms from result files and labels, by the rules of mmdet3d's IndoorMetric."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.eval_kitti import find_results
from gemini_det3d.apis.file_evaluation import FileEvaluation
from gemini_det3d.evaluation.functional.indoor import (
    DEFAULT_THRESHOLDS,
    check_indoor_options,
    evaluate_indoor,
)
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.sunrgbd import (
    SUNRGBD_CLASSES,
    RoomObjects,
    SunInfos,
    read_labels,
    read_results,
)
from gemini_det3d.formats.text import read_lines, write_text

EPILOG = """\
A result file is <frame>.txt with a line "class x y z dx dy dz yaw score" for each detection: the
centre, the extents before the turn (metres, depth frame: x right, y front, z up), yaw from +x
towards +y (radians). IndoorDetectionMetric writes them (txt_dir=...). A frame without a file
counts as a frame without detections; a file without a frame is an error.
"""


@dataclass(frozen=True)
class RoomEvaluation(FileEvaluation):
    """An evaluation of boxes in rooms; `result` is an IndoorResult."""

    def content(self) -> dict[str, Any]:
        """Figures, and how many boxes of each class there were."""
        return {
            **super().content(),
            "counts": {
                score.name: {k: asdict(score)[k] for k in ("num_truth", "num_detections")}
                for score in self.result.scores
            },
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gemini-det3d eval-sunrgbd``."""
    parser.add_argument("results", metavar="RESULTS", help="folder of result files (*.txt)")
    parser.add_argument(
        "annotations",
        metavar="ANNOTATIONS",
        help="label folder of sunrgbd_trainval, or an info file of mmdet3d (*.pkl; nothing in it "
        "is run)",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=list(SUNRGBD_CLASSES),
        metavar="NAME",
        help="classes to evaluate, any names (default: SUN RGB-D's ten)",
    )
    parser.add_argument(
        "--iou",
        nargs="+",
        type=float,
        default=list(DEFAULT_THRESHOLDS),
        metavar="IOU",
        help="overlaps (default: 0.25 0.5)",
    )
    parser.add_argument("--split", metavar="FILE", help="evaluate the frames listed in this file")
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--markdown", metavar="FILE", help="write the report as Markdown")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the report, write what was asked for."""
    try:
        check_indoor_options(args.classes, args.iou)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    evaluation = evaluate_room_files(
        args.results, args.annotations, args.classes, args.iou, split=args.split
    )
    print(evaluation.report())
    if args.json:
        write_text(args.json, evaluation.as_json())
    if args.markdown:
        write_text(args.markdown, evaluation.report(markdown=True) + "\n")
    return 0


def evaluate_room_files(
    results: str | Path,
    annotations: str | Path,
    classes: Sequence[str] = SUNRGBD_CLASSES,
    thresholds: Sequence[float] = DEFAULT_THRESHOLDS,
    *,
    split: str | Path | None = None,
    progress: bool = True,
) -> RoomEvaluation:
    """Evaluate a folder of result files.

    Args:
        results: Folder of ``<frame>.txt``.
        annotations: ``label`` folder of ``sunrgbd_trainval``, or an info file of mmdet3d.
        classes: Classes to evaluate.
        thresholds: Overlaps.
        split: File with the frames to evaluate, one a line. None: all.
        progress: Show one.

    Raises:
        FormatError: A file cannot be used, or results and labels do not belong together.
    """
    known, read_truth = open_room_annotations(annotations)
    files = {frame_stem(name): path for name, path in find_results(results).items()}
    for name, path in files.items():
        if name not in known:
            raise FormatError(path, f"{annotations} has no frame {name}")
    wanted = known if split is None else _listed(split, known, annotations)
    truth, detections = [], []
    for name in tqdm(wanted, desc="reading", unit="frame", disable=not progress, leave=False):
        truth.append(read_truth(name))
        is_there = name in files
        nothing = RoomObjects([], [], scores=[])
        detections.append(read_results(files[name]) if is_there else nothing)
    chosen = set(wanted)
    return RoomEvaluation(
        result=evaluate_indoor(truth, detections, classes, thresholds),
        missing=tuple(name for name in wanted if name not in files),
        left_out=tuple(name for name in files if name not in chosen),
    )


def open_room_annotations(path: str | Path) -> tuple[list[str], Callable[[str], RoomObjects]]:
    """The frames that a label folder or an info file has, and how to read one of them.

    Args:
        path: Folder of ``<frame>.txt``, or an info file of mmdet3d.

    Raises:
        FormatError: There are no labels, or it is no info file.
    """
    path = Path(path)
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.txt"))}
        if not files:
            raise FormatError(path, "holds no label files (*.txt)")
        return list(files), lambda name: read_labels(files[name])
    infos = SunInfos(path)
    return list(infos.frames), infos.objects


def frame_stem(name: str) -> str:
    """A frame as its files are named: lists write numbers without leading zeros."""
    return name.zfill(6) if name.isdigit() else name


def _listed(split: str | Path, known: Sequence[str], annotations: str | Path) -> list[str]:
    wanted = [frame_stem(line) for _, line in read_lines(split)]
    strangers = sorted(set(wanted) - set(known))
    if strangers:
        raise FormatError(split, f"{annotations} has no frame {strangers[0]}")
    return [name for name in known if name in set(wanted)]

"""AP of boxes in rooms from result files and labels, by the rules of mmdet3d's IndoorMetric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gemini_det3d.apis.file_evaluation import (
    FileEvaluation,
    angle_doubts,
    class_doubts,
    read_result_files,
    text_files,
)
from gemini_det3d.evaluation.functional.indoor import (
    DEFAULT_THRESHOLDS,
    evaluate_indoor,
)
from gemini_det3d.formats.sunrgbd import (
    SUNRGBD_CLASSES,
    RoomObjects,
    SunInfos,
    read_labels,
    read_results,
)


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
    read = read_result_files(
        results,
        annotations,
        open_room_annotations(annotations),
        read_results,
        RoomObjects([], [], scores=[]),
        split=split,
        progress=progress,
    )
    result = evaluate_indoor(read.truth, read.found, classes, thresholds)
    doubts = (
        *class_doubts(classes, [each.names for each in read.truth]),
        *angle_doubts("detections", "yaw", [each.boxes[:, 6] for each in read.found]),
    )
    return RoomEvaluation(result, read.missing, read.left_out, doubts)


def open_room_annotations(path: str | Path) -> tuple[list[str], Callable[[str], RoomObjects]]:
    """The frames that a label folder or an info file has, and how to read one of them.

    Args:
        path: Folder of ``<frame>.txt``, or an info file of mmdet3d.

    Raises:
        FormatError: There are no labels, or it is no info file.
    """
    path = Path(path)
    if path.is_dir():
        files = text_files(path, "label")
        return list(files), lambda name: read_labels(files[name])
    infos = SunInfos(path)
    return list(infos.frames), infos.objects

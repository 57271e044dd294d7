"""KITTI's AP from result files and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.file_evaluation import (
    FileEvaluation,
    ResultFiles,
    angle_doubts,
    class_doubts,
    read_result_files,
    text_files,
)
from gemini_det3d.evaluation.functional import (
    KITTI_CLASSES,
    evaluate_kitti,
)
from gemini_det3d.evaluation.functional.kitti_ap import RECALL_RULES
from gemini_det3d.evaluation.functional.kitti_rules import OverlapSpec, overlap_triples
from gemini_det3d.formats.kitti import NO_ANGLE, Objects, read_objects
from gemini_det3d.formats.kitti_infos import read_infos
from gemini_det3d.formats.text import without_nan


@dataclass(frozen=True)
class KittiEvaluation(FileEvaluation):
    """An evaluation of KITTI result files; `result` is a KittiResult."""

    def content(self) -> dict[str, Any]:
        """Figures, those by KITTI's own rule, and how many boxes were counted and why."""
        return {
            "classes": self.result.classes,
            **super().content(),
            "recall": self.result.recall_rule,
            "comparable_with_published": self.result.is_comparable,
            "devkit_figures": without_nan(self.result.as_dict(devkit=True)),
            "census": [asdict(census) for census in self.result.census],
            "reasons": self.result.explain(),
        }


def evaluate_files(
    results: str | Path,
    annotations: str | Path,
    classes: Sequence[str] = KITTI_CLASSES,
    *,
    split: str | Path | None = None,
    frames: Sequence[str] | None = None,
    min_overlaps: dict[str, OverlapSpec] | None = None,
    recall: str = RECALL_RULES[0],
    progress: bool = True,
) -> KittiEvaluation:
    """Evaluate a folder of result files.

    Args:
        results: Folder of KITTI result files, ``<frame>.txt``.
        annotations: Folder of labels, ``<frame>.txt``, or an info file of mmdet3d.
        classes: Classes to evaluate.
        split: File with the frames to evaluate, one a line. None: all.
        frames: The frames to evaluate. None: all.
        min_overlaps: Own overlaps by class, see :func:`evaluate_kitti`.
        recall: See :func:`evaluate_kitti`.
        progress: Show one.

    Raises:
        FormatError: A file cannot be used, or results and labels do not belong together.
    """
    read = read_kitti_files(results, annotations, split=split, frames=frames, progress=progress)
    options = dict(min_overlaps=min_overlaps, recall=recall)
    result = evaluate_kitti(read.truth, read.found, classes, **options)
    doubts = (
        *class_doubts(classes, [each.name for each in read.truth], any_case=True),
        *_doubts("labels", read.truth),
        *_doubts("detections", read.found),
    )
    return KittiEvaluation(result, read.missing, read.left_out, doubts)


def read_kitti_files(results: str | Path, annotations: str | Path, **chosen: Any) -> ResultFiles:
    """Truth and detections; arguments as of `evaluate_files`."""
    return read_result_files(
        results,
        annotations,
        open_annotations(annotations),
        lambda path: read_objects(path, with_score=True),
        Objects.empty(with_score=True),
        **chosen,
    )


def _doubts(kind: str, frames: Sequence[Objects]) -> list[str]:
    known = [each.rotation_y[each.rotation_y != NO_ANGLE] for each in frames]
    return angle_doubts(kind, "rotation_y", known)


def open_annotations(path: str | Path) -> tuple[list[str], Callable[[str], Objects]]:
    """The frames that a label folder or an info file has, and how to read one of them.

    Args:
        path: Folder of ``<frame>.txt``, or an info file of mmdet3d.

    Returns:
        Frame names in order, and a function from a name to its objects.

    Raises:
        FormatError: There are no labels, or it is no info file.
    """
    path = Path(path)
    if path.is_dir():
        files = text_files(path, "label")
        return list(files), lambda name: read_objects(files[name])
    infos = read_infos(path)
    numbers = {infos.name_of(frame): frame for frame in infos.frames}
    return list(numbers), lambda name: infos.objects(numbers[name])


def parse_overlaps(words: Sequence[str], classes: Sequence[str]) -> dict[str, OverlapSpec]:
    """``['Bus=0.6', 'Car=0.7,0.5,0.5']`` as overlaps by class.

    Args:
        words: The pairs.
        classes: That are evaluated, in any case of letters.

    Raises:
        ConfigError: A word is no such pair, its class is not evaluated, or an overlap is none.
    """
    known = {name.lower() for name in classes}
    overlaps: dict[str, OverlapSpec] = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            values = [float(value) for value in text.split(",")]
        except ValueError:
            raise ConfigError(f"--min-overlap {word}: expected NAME=IOU") from None
        if name.lower() not in known:
            fault = f"{name!r} is none of the classes evaluated ({', '.join(classes)})"
            raise ConfigError(f"--min-overlap {word}: {fault}")
        overlaps[name] = values[0] if len(values) == 1 else values
        try:
            overlap_triples(overlaps[name])
        except ValueError as fault:
            raise ConfigError(f"--min-overlap {word}: {fault}") from None
    return overlaps

"""What a report shows of detections: KITTI's table, precision over recall, AP by distance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from gemini_det3d.apis.kitti.evaluate import read_kitti_files
from gemini_det3d.apis.sunrgbd.evaluate import RoomEvaluation
from gemini_det3d.evaluation.functional import KITTI_CLASSES, evaluate_kitti
from gemini_det3d.evaluation.functional.kitti_distance import evaluate_by_distance
from gemini_det3d.evaluation.functional.kitti_figures import AveragePrecision, KittiFigures
from gemini_det3d.formats.kitti import Objects
from gemini_det3d.visualization.report import Chart, Charts, Section, Series, Table, Text

_LEVELS = ("easy", "moderate", "hard")


def kitti_sections(
    results: Path,
    labels: Path,
    classes: Sequence[str] | None = None,
    split: Path | None = None,
) -> list[Section]:
    """Evaluate result files and show what `eval-kitti` says, and more.

    Args:
        results: Folder of KITTI result files.
        labels: Folder of labels, or an info file of mmdet3d.
        classes: To evaluate; None: KITTI's three.
        split: File with the frames to evaluate; None: all.

    Raises:
        FormatError: A file cannot be used, or results and labels do not belong together.
    """
    classes = tuple(classes or KITTI_CLASSES)
    read = read_kitti_files(results, labels, split=split)
    result = evaluate_kitti(read.truth, read.found, classes)
    sections: list[Section] = [ap_table(result), precision_charts(result)]
    sections.append(distance_charts(read.truth, read.found, classes))
    notes = result.explain()
    if notes:
        sections.append(Text("Why figures are zero or missing", notes))
    return sections


def ap_table(result: KittiFigures) -> Table:
    """AP at 40 recall positions, a row for each class, metric and overlap."""
    rows = []
    kinds = dict.fromkeys((s.class_name, s.metric, s.min_overlap) for s in result.scores)
    for name, metric, overlap in kinds:
        found = [result.find(name, metric, level, overlap) for level in _LEVELS]
        rows.append([name, metric, overlap, *(score.ap40 for score in found),
                     *(score.num_truth for score in found)])  # fmt: skip
    head = ["class", "metric", "IoU", *(f"AP {level}" for level in _LEVELS),
            *(f"boxes {level}" for level in _LEVELS)]  # fmt: skip
    note = f"{result.num_frames} frames; percent, 40 recall positions, rule: {result.recall_rule}."
    return Table("Average precision", head, rows, left=2, note=note)


def precision_charts(result: KittiFigures) -> Charts:
    """Precision over recall in 3D, a chart for each class, a line for each difficulty."""
    charts = []
    for name in result.classes:
        scores = [result.find(name, "3d", level) for level in _LEVELS]
        lines = [_curve(score) for score in scores if not math.isnan(score.ap40)]
        title = f"{name}, 3D IoU {scores[0].min_overlap:.2f}"
        charts.append(Chart(title, lines, "recall", "precision", y_range=(0, 1.02)))
    note = "Made monotone from the right, as it is averaged; 0 where the recall is not reached."
    return Charts("Precision over recall", charts, note=note)


def _curve(score: AveragePrecision) -> Series:
    return _over_recall(score.difficulty, score.ap40, score.curve)


def _over_recall(name: str, percent: float, curve: Sequence[float]) -> Series:
    recall = [k / (len(curve) - 1) for k in range(len(curve))]
    return Series(name, recall, curve, note=f"AP {percent:.1f}")


def distance_charts(
    truth: Sequence[Objects], found: Sequence[Objects], classes: Sequence[str]
) -> Charts:
    """AP in 3D over the distance, a chart for each class, a line for each difficulty."""
    rings = evaluate_by_distance(truth, found, classes)
    names = [f"{low:g} to {high:g} m" for low, high, _ in rings]
    charts = []
    for name in classes:
        lines = [
            _over_distance(level, names, [each.find(name, "3d", level) for *_, each in rings])
            for level in _LEVELS
        ]
        charts.append(Chart(name, lines, "distance on the ground", "AP, percent",
                            y_range=(0, 102), with_marks=True))  # fmt: skip
    note = "3D, at each class's strictest overlap; a box outside of a ring is ignored there."
    return Charts("AP by distance", charts, note=note)


def _over_distance(level: str, names: Sequence[str], scores: Sequence[AveragePrecision]) -> Series:
    boxes = ", ".join(str(score.num_truth) for score in scores)
    return Series(level, names, [score.ap40 for score in scores], note=f"{boxes} boxes")


def room_precision(evaluations: Mapping[str, RoomEvaluation]) -> Charts:
    """Precision over recall of detectors in rooms, a chart for each class and overlap.

    Args:
        evaluations: By detector, of the same classes and overlaps.
    """
    charts: dict[str, list[Series]] = {}
    for detector, evaluation in evaluations.items():
        for score in evaluation.result.scores:
            if score.num_truth:
                line = _over_recall(detector, 100 * score.ap, score.curve)
                charts.setdefault(f"{score.name}, IoU {score.threshold:.2f}", []).append(line)
    return Charts("Precision over recall", [
        Chart(title, lines, "recall", "precision", y_range=(0, 1.02))
        for title, lines in charts.items()
    ], note="The best precision from each recall on.")  # fmt: skip

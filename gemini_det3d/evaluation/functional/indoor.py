"""Average precision of boxes in rooms, with the rules of mmdet3d's IndoorMetric.

Detections of all frames are taken by falling score. Each looks at the truth of its class and frame
that it overlaps most; it is right if that overlap (IoU of volumes) exceeds the threshold and
nobody has claimed that box before. AP is the area under the curve of precision, made to fall
monotonically, over recall. A class without truth has no figure and is left out of the mean
(mmdet3d's mean becomes NaN); equal scores keep the order of their frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gemini_det3d.formats.sunrgbd import RoomObjects
from gemini_det3d.formats.tables import markdown_table, text_table
from gemini_det3d.ops.rotated_iou import iou_3d

_PLACES = 41
DEFAULT_THRESHOLDS = (0.25, 0.5)


@dataclass(frozen=True)
class ClassScore:
    """One class at one threshold.

    Attributes:
        name: The class.
        threshold: Overlap that a detection must exceed.
        ap: Average precision, 0 to 1; NaN without truth.
        recall: Share of the truth found by any detection; NaN without truth.
        num_truth: Boxes of the class.
        num_detections: Detections of the class.
        curve: 41 values over recall 0, 1/40, ..., 1: the best precision from there on, 0 where the
            recall is not reached. For pictures; AP is the exact area.
    """

    name: str
    threshold: float
    ap: float
    recall: float
    num_truth: int
    num_detections: int
    curve: tuple[float, ...] = ()


@dataclass(frozen=True)
class IndoorResult:
    """A whole evaluation.

    Attributes:
        num_frames: Frames.
        classes: Classes in order.
        thresholds: Overlaps in order.
        scores: For each class, each threshold.
    """

    num_frames: int
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    scores: tuple[ClassScore, ...]

    def as_dict(self) -> dict[str, float]:
        """Percent under mmdet3d's names.

        Returns:
            ``bed_AP_0.25``, ``bed_rec_0.25``, ``mAP_0.25``, ``mAR_0.25`` and so on. NaN: nothing
            to measure.
        """
        figures: dict[str, float] = {}
        for threshold in self.thresholds:
            found = [score for score in self.scores if score.threshold == threshold]
            for score in found:
                figures[f"{score.name}_AP_{threshold:.2f}"] = 100 * score.ap
                figures[f"{score.name}_rec_{threshold:.2f}"] = 100 * score.recall
            figures[f"mAP_{threshold:.2f}"] = 100 * _mean([score.ap for score in found])
            figures[f"mAR_{threshold:.2f}"] = 100 * _mean([score.recall for score in found])
        return figures

    def table(self, markdown: bool = False) -> str:
        """Percent by class, with the mean below; no newline at the end."""
        figures = self.as_dict()
        kinds = [(kind, t) for t in self.thresholds for kind in ("AP", "recall")]
        head = ["class", "boxes", "found", *(f"{kind} {t:.2f}" for kind, t in kinds)]
        rows: list[list] = []
        keys = {"AP": ("AP", "mAP"), "recall": ("rec", "mAR")}
        for name in self.classes:
            score = next(s for s in self.scores if s.name == name)
            cells = [figures[f"{name}_{keys[kind][0]}_{t:.2f}"] for kind, t in kinds]
            rows.append([name, score.num_truth, score.num_detections, *cells])
        means = [figures[f"{keys[kind][1]}_{t:.2f}"] for kind, t in kinds]
        rows.append(["mean", "", "", *means])
        return markdown_table(head, rows) if markdown else text_table(head, rows)

    def explain(self) -> list[str]:
        """One line for every class whose AP is zero or missing at the lowest threshold."""
        lines = []
        for score in self.scores:
            if score.threshold != min(self.thresholds):
                continue
            if score.num_truth == 0:
                lines.append(f"{score.name}: no truth in these frames, left out of the mean")
            elif score.num_detections == 0:
                lines.append(f"{score.name}: {score.num_truth} boxes, not one detection")
            elif score.recall == 0:
                count = f"{score.num_detections} detections, {score.num_truth} boxes"
                lines.append(f"{score.name}: {count}, no overlap above {score.threshold:.2f}")
        return lines


def evaluate_indoor(
    truth: Sequence[RoomObjects],
    detections: Sequence[RoomObjects],
    classes: Sequence[str],
    thresholds: Sequence[float] = DEFAULT_THRESHOLDS,
) -> IndoorResult:
    """Evaluate frames.

    Args:
        truth: Boxes of each frame.
        detections: Detections of each frame, with scores.
        classes: Classes to evaluate, any names; the others are not looked at.
        thresholds: Overlaps, each above 0 and below 1.

    Raises:
        ValueError: As many truths as detections are not given, scores are missing or not finite,
            or a class or a threshold cannot be.
    """
    check_indoor_options(classes, thresholds)
    if len(truth) != len(detections):
        raise ValueError(f"{len(truth)} frames of truth, {len(detections)} of detections")
    for index, found in enumerate(detections):
        if len(found) and (found.scores is None or not np.isfinite(found.scores).all()):
            raise ValueError(f"detections of frame {index} have no finite scores")
    scores = []
    for name in classes:
        scores += _evaluate_class(name, truth, detections, thresholds)
    return IndoorResult(len(truth), tuple(classes), tuple(thresholds), tuple(scores))


def check_indoor_options(classes: Sequence[str], thresholds: Sequence[float]) -> None:
    """Refuse options before any work is done.

    Raises:
        ValueError: No class, one given twice, or a threshold outside (0, 1).
    """
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(f"classes must be different names, got {tuple(classes)}")
    if not thresholds or not all(0 < value < 1 for value in thresholds):
        raise ValueError(f"thresholds must lie between 0 and 1, got {tuple(thresholds)}")


def average_precision(right: np.ndarray, num_truth: int) -> tuple[float, float]:
    """Area under the precision-recall curve, and the recall at its end.

    Args:
        right: ``(D,)`` bool, detections by falling score.
        num_truth: Boxes there were to find.

    Returns:
        AP and recall, 0 to 1; NaN without truth.
    """
    if num_truth == 0:
        return math.nan, math.nan
    hits = np.cumsum(right)
    if not len(hits):
        return 0.0, 0.0
    recall = hits / num_truth
    precision = hits / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    return float((steps * best_from_here).sum()), float(recall[-1])


def sample_curve(right: np.ndarray, num_truth: int) -> tuple[float, ...]:
    """The curve of :func:`average_precision` at 41 places of recall.

    Args:
        right: ``(D,)`` bool, detections by falling score.
        num_truth: Boxes there were to find.
    """
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    # Whole numbers, so that no rounding decides: place k needs ceil(k * num_truth / 40) boxes.
    needed = -(-np.arange(_PLACES) * num_truth // (_PLACES - 1))
    first = np.searchsorted(hits, needed)
    reached = (first < len(hits)) & (num_truth > 0)
    curve = np.zeros(_PLACES)
    curve[reached] = best_from_here[first[reached]]
    return tuple(curve.tolist())


def _evaluate_class(
    name: str,
    truth: Sequence[RoomObjects],
    detections: Sequence[RoomObjects],
    thresholds: Sequence[float],
) -> list[ClassScore]:
    """One class: match every frame, then sort the verdicts of all frames by score."""
    scores, overlaps, targets = [], [], []
    num_truth = 0
    for boxes, found in zip(truth, detections):
        boxes, found = boxes.select(boxes.names == name), found.select(found.names == name)
        if len(found):
            best, where = _best_overlap(found.boxes, boxes.boxes)
            scores.append(found.scores)
            overlaps.append(best)
            targets.append(where + num_truth)  # boxes are numbered through all frames
        num_truth += len(boxes)
    score = np.concatenate(scores) if scores else np.zeros(0)
    order = np.argsort(-score, kind="stable")
    overlap = np.concatenate(overlaps)[order] if overlaps else np.zeros(0)
    target = np.concatenate(targets)[order] if targets else np.zeros(0, dtype=np.int64)
    result = []
    for threshold in thresholds:
        right = _first_claims(overlap > threshold, target)
        ap, recall = average_precision(right, num_truth)
        curve = sample_curve(right, num_truth)
        result.append(ClassScore(name, threshold, ap, recall, num_truth, len(score), curve))
    return result


def _best_overlap(found: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest IoU of each detection and the box it is with."""
    if not len(boxes):
        return np.zeros(len(found)), np.zeros(len(found), dtype=np.int64)
    iou = iou_3d(found, boxes, origin="center")
    return iou.max(axis=1), iou.argmax(axis=1)


def _first_claims(overlaps: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Which detections overlap enough and are the first to do so with their box."""
    right = np.zeros(len(target), dtype=np.bool_)
    candidates = np.flatnonzero(overlaps)
    _, first = np.unique(target[candidates], return_index=True)
    right[candidates[first]] = True
    return right


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan

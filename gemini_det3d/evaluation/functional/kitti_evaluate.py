"""KITTI's evaluation of 3D detections: objects of many frames in, a :class:`KittiResult` out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gemini_det3d.evaluation.functional.kitti_ap import (
    NUM_POSITIONS,
    RECALL_RULES,
    average,
    sample_precision,
)
from gemini_det3d.evaluation.functional.kitti_figures import AveragePrecision, Census
from gemini_det3d.evaluation.functional.kitti_report import KittiResult
from gemini_det3d.evaluation.functional.kitti_rules import (
    COUNTS,
    DIFFICULTIES,
    DONT_CARE,
    METRICS,
    NEIGHBOURS,
    OverlapSpec,
    hidden,
    min_overlaps_of,
)
from gemini_det3d.evaluation.functional.kitti_stack import ClassPairs, Stack, pair_class
from gemini_det3d.formats.kitti import NO_ANGLE, Objects

KITTI_CLASSES = ("Car", "Pedestrian", "Cyclist")


def evaluate_kitti(
    truth: Sequence[Objects],
    detections: Sequence[Objects],
    classes: Sequence[str] = KITTI_CLASSES,
    *,
    min_overlaps: Mapping[str, OverlapSpec] | None = None,
    metrics: Sequence[str] = METRICS,
    recall: str = "definition",
) -> KittiResult:
    """Average precision in the image, from above, in space, and of the orientation.

    Any class names will do, and any number of frames, boxes and detections, none included.

    Args:
        truth: Ground truth of each frame, with its ``DontCare`` regions.
        detections: Detections of the same frames, with scores.
        classes: Classes to evaluate; case does not matter.
        min_overlaps: Own overlaps by class, see
            :func:`gemini_det3d.evaluation.functional.kitti_rules.min_overlaps_of`.
        metrics: Any of 'bbox', 'aos', 'bev' and '3d'.
        recall: How to place the recall positions below 41 boxes: 'devkit', KITTI's own rule, whose
            figures may always be compared with published ones, or 'definition', see
            :func:`gemini_det3d.evaluation.functional.kitti_ap.recall_thresholds`.

    Returns:
        The figures; NaN where no box counts.

    Raises:
        ValueError: The frames do not pair up, detections have no finite scores, or an option is
            none of the above.
    """
    check_options(classes, metrics, recall)
    check_frames(truth, detections)
    overlaps = {name: min_overlaps_of(name, min_overlaps) for name in classes}
    stacks = Stack.from_frames(truth), Stack.from_frames(detections)
    scores: list[AveragePrecision] = []
    census: list[Census] = []
    for name in classes:
        pairs = pair_class(name, *stacks)
        counts = [_count(pairs, level) for level in range(len(DIFFICULTIES))]
        scores += _score_class(pairs, counts, overlaps[name], metrics, recall)
        census += counts
    return KittiResult(
        classes=tuple(classes),
        num_frames=len(truth),
        truth_names=_tally(truth),
        detection_names=_tally(detections),
        scores=tuple(scores),
        census=tuple(census),
        recall_rule=recall,
    )


def _score_class(
    pairs: ClassPairs,
    counts: Sequence[Census],
    overlaps: Mapping[str, tuple[float, ...]],
    metrics: Sequence[str],
    rule: str,
) -> list[AveragePrecision]:
    """Every figure of a class; the similarity comes with the precision in the image."""
    scores = []
    for metric in ("bbox", "bev", "3d"):
        if not {metric, "aos" if metric == "bbox" else metric} & set(metrics):
            continue
        for min_overlap in overlaps[metric]:
            for level in range(len(DIFFICULTIES)):
                scores += _score(pairs, counts[level], level, metric, min_overlap, rule)
    wanted = [score for score in scores if score.metric in metrics]
    return sorted(wanted, key=lambda score: METRICS.index(score.metric))


def _score(
    pairs: ClassPairs, count: Census, level: int, metric: str, min_overlap: float, rule: str
) -> Iterator[AveragePrecision]:
    """The precision of one metric and, beside 'bbox', the orientation similarity."""
    *curves, recall = sample_precision(pairs, level, metric, min_overlap, rule)
    kit = curves
    if rule != "devkit" and 0 < count.num_valid < NUM_POSITIONS:
        kit = sample_precision(pairs, level, metric, min_overlap, "devkit")[:2]
    for name, curve, kit_curve in zip((metric, "aos"), curves, kit):
        if name == "aos" and metric != "bbox":
            continue
        ap11, ap40 = average(curve)
        kit_ap11, kit_ap40 = average(kit_curve)
        if not _is_measurable(count, name):
            ap11 = ap40 = kit_ap11 = kit_ap40 = math.nan
        yield AveragePrecision(
            class_name=pairs.class_name,
            metric=name,
            min_overlap=min_overlap,
            difficulty=count.difficulty,
            ap40=ap40,
            ap11=ap11,
            devkit_ap40=kit_ap40,
            devkit_ap11=kit_ap11,
            num_truth=count.num_valid,
            recall=recall,
            curve=tuple(curve.tolist()),
            best_overlap=_best_overlap(pairs, level, name),
        )


def _is_measurable(count: Census, metric: str) -> bool:
    """Whether boxes count and, for the orientation, all of them and all detections have one."""
    if metric == "aos" and (count.num_without_alpha or count.truth_without_alpha):
        return False
    return count.num_valid > 0


def _best_overlap(pairs: ClassPairs, level: int, metric: str) -> float:
    from gemini_det3d.evaluation.functional._kitti_kernels import largest_overlap

    is_class = pairs.detections.names == pairs.class_name.lower()
    return float(
        largest_overlap(pairs.overlaps[metric], *pairs.layout, pairs.truth_flags[level], is_class)
    )


def _count(pairs: ClassPairs, level: int) -> Census:
    """Count the boxes and detections of a class at a difficulty."""
    difficulty, class_name = DIFFICULTIES[level], pairs.class_name.lower()
    truth = pairs.truth.select(pairs.truth.names == class_name)
    found = pairs.detections.select(pairs.detections.names == class_name)
    counts = pairs.truth_flags[level] == COUNTS
    low, occluded, truncated = hidden(difficulty, truth.bbox, truth.occluded, truth.truncated)
    height = np.abs(found.bbox[:, 3] - found.bbox[:, 1])
    neighbours = np.isin(pairs.truth.names, NEIGHBOURS.get(class_name, ()))
    return Census(
        class_name=pairs.class_name,
        difficulty=difficulty.name,
        num_valid=int(counts.sum()),
        num_truth=len(truth),
        num_low=int(low.sum()),
        num_occluded=int(occluded.sum()),
        num_truncated=int(truncated.sum()),
        num_neighbours=int(neighbours.sum()),
        num_detections=len(found),
        num_low_detections=int((height < difficulty.min_height_px).sum()),
        num_flat_detections=int((found.boxes[:, 3:6] <= 0).any(axis=1).sum()),
        num_without_alpha=int((found.alpha == NO_ANGLE).sum()),
        truth_without_alpha=int((pairs.truth.alpha[counts] == NO_ANGLE).sum()),
    )


def _tally(frames: Sequence[Objects]) -> dict[str, int]:
    counter = Counter(name for frame in frames for name in frame.name.tolist())
    return dict(counter.most_common())


def check_options(classes: Sequence[str], metrics: Sequence[str], recall: str) -> None:
    """Refuse options that :func:`evaluate_kitti` would refuse, before there are frames.

    Raises:
        ValueError: One of them is none of what is allowed.
    """
    lowered = [name.lower() for name in classes]
    if isinstance(classes, str) or not lowered or len(set(lowered)) != len(lowered):
        raise ValueError(f"classes must be distinct names, got {classes!r}")
    if DONT_CARE in lowered:
        raise ValueError("DontCare marks regions and cannot be evaluated as a class")
    unknown = [metric for metric in metrics if metric not in METRICS]
    if isinstance(metrics, str) or not metrics or unknown:
        raise ValueError(f"metrics must be some of {METRICS}, got {metrics!r}")
    if recall not in RECALL_RULES:
        raise ValueError(f"recall must be one of {RECALL_RULES}, got {recall!r}")


def check_frames(truth: Sequence[Objects], detections: Sequence[Objects]) -> None:
    """Refuse what cannot be compared.

    Raises:
        ValueError: Frames are not equally many, or detections have no finite scores.
    """
    if len(truth) != len(detections):
        raise ValueError(f"{len(truth)} frames of truth but {len(detections)} of detections")
    for index, frame in enumerate(detections):
        if len(frame) and (frame.score is None or not np.isfinite(frame.score).all()):
            raise ValueError(f"frame {index}: detections need finite scores")

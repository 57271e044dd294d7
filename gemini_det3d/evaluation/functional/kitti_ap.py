"""Average precision by KITTI's definition, from the flags and overlaps of one class.

The precision is sampled at 41 positions of recall, 0, 1/40, ..., 1, and made monotone from the
right. AP40 is the mean over positions 1 to 40, AP11 over every fourth of the 41.
"""

from __future__ import annotations

import numpy as np

from gemini_det3d.evaluation.functional.kitti_rules import COUNTS
from gemini_det3d.evaluation.functional.kitti_stack import ClassPairs

NUM_POSITIONS = 41
RECALL_RULES = ("definition", "devkit")


def recall_thresholds(scores: np.ndarray, num_truth: int, rule: str) -> np.ndarray:
    """The score that stands for each recall position that the detections reach.

    From 41 boxes on the development kit's choice is taken: the score whose recall comes nearest.
    The kit gives each score one position only, so with fewer boxes it cannot fill the 41
    positions, and perfect detections of n boxes get an AP40 of (n - 1) / 40. There, 'definition'
    takes for each position the first score whose recall reaches it, as AP is defined; at 41
    boxes both choices are the same.

    Args:
        scores: ``(S,)`` scores of the detections that found a box, any order.
        num_truth: Boxes that count, at least 1.
        rule: 'definition', or 'devkit' to follow the kit below 41 boxes, too.

    Returns:
        ``(T,)`` descending, ``T <= 41``; entry k belongs to recall k / 40.
    """
    from gemini_det3d.evaluation.functional._kitti_kernels import nearest_recall_thresholds

    descending = np.sort(scores)[::-1].copy()
    if num_truth >= NUM_POSITIONS or rule == "devkit":
        return nearest_recall_thresholds(descending, num_truth)
    # Integers, so that no rounding decides: position k needs ceil(k * num_truth / 40) boxes.
    positions = np.arange(NUM_POSITIONS)
    needed = np.maximum(-(-positions * num_truth // (NUM_POSITIONS - 1)), 1)
    return descending[needed[needed <= len(descending)] - 1]


def sample_precision(
    pairs: ClassPairs, level: int, metric: str, min_overlap: float, rule: str = "definition"
) -> tuple[np.ndarray, np.ndarray, float]:
    """Precision and orientation similarity over recall.

    Args:
        pairs: Boxes and overlaps of a class.
        level: Index of the difficulty.
        metric: 'bbox', 'bev' or '3d'.
        min_overlap: Overlap that a detection must exceed.
        rule: See :func:`recall_thresholds`.

    Returns:
        ``(41,)`` precision and ``(41,)`` similarity (only 'bbox' has a use for it), both monotone
        and 0 where the recall is not reached; and the largest recall.
    """
    from gemini_det3d.evaluation.functional._kitti_kernels import (
        Task,
        count_matches,
        scores_of_matches,
    )

    curves = np.zeros((2, NUM_POSITIONS))
    num_truth = int((pairs.truth_flags[level] == COUNTS).sum())
    if num_truth == 0:
        return curves[0], curves[1], 0.0
    task = Task(
        pairs.overlaps[metric],
        *pairs.layout,
        pairs.truth_flags[level],
        pairs.detection_flags[level],
        pairs.detections.scores,
        # DontCare regions are image boxes: they excuse nothing from above or in space.
        (pairs.dont_care_share > min_overlap) & (metric == "bbox"),
        pairs.truth.alpha,
        pairs.detections.alpha,
        float(min_overlap),
    )
    thresholds = recall_thresholds(scores_of_matches(task), num_truth, rule)
    totals = count_matches(task, thresholds)
    found, false_alarms, missed, similarity = totals.T
    # All detections of a threshold may have gone to ignored boxes: no precision to speak of.
    reported = np.maximum(found + false_alarms, 1.0)
    curves[0, : len(thresholds)] = found / reported
    curves[1, : len(thresholds)] = similarity / reported
    curves = np.maximum.accumulate(curves[:, ::-1], axis=1)[:, ::-1]
    recall = float((found / np.maximum(found + missed, 1.0)).max(initial=0.0))
    return curves[0], curves[1], recall


def average(curve: np.ndarray) -> tuple[float, float]:
    """AP11 and AP40 in percent of a curve ``(41,)``."""
    return 100.0 * float(curve[::4].mean()), 100.0 * float(curve[1:].mean())

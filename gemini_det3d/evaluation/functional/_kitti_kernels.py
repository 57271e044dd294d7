"""Numba kernels of the KITTI evaluation: overlaps in the image, matching, recall positions.

Frames lie one after the other in flat arrays; ``starts`` are ``(F + 1,)`` first rows and the
total. Overlaps of a frame are its truth x detections block, detections the fast axis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gemini_det3d.evaluation.functional.kitti_rules import COUNTS, IGNORED, OTHER
from gemini_det3d.ops._numba import jit

_RECALL_STEPS = 40


@jit
def _image_overlap(a, i, b, j):
    width = min(a[i, 2], b[j, 2]) - max(a[i, 0], b[j, 0])
    height = min(a[i, 3], b[j, 3]) - max(a[i, 1], b[j, 1])
    return width * height if width > 0.0 and height > 0.0 else 0.0


@jit
def _image_area(boxes, i):
    return (boxes[i, 2] - boxes[i, 0]) * (boxes[i, 3] - boxes[i, 1])


@jit
def grouped_image_iou(boxes_a, starts_a, boxes_b, starts_b, starts_pairs):
    """IoU of upright image boxes of the same frame; ``(N, 4)``, ``(M, 4)`` -> ``(P,)``."""
    iou = np.zeros(starts_pairs[-1])
    for frame in range(len(starts_a) - 1):
        pair = starts_pairs[frame]
        for i in range(starts_a[frame], starts_a[frame + 1]):
            for j in range(starts_b[frame], starts_b[frame + 1]):
                shared = _image_overlap(boxes_a, i, boxes_b, j)
                if shared > 0.0:
                    joint = _image_area(boxes_a, i) + _image_area(boxes_b, j) - shared
                    iou[pair] = shared / joint
                pair += 1
    return iou


@jit
def largest_covered_share(boxes, starts, regions, starts_regions):
    """Largest share of each image box that one region of its frame covers; ``(N,)``."""
    share = np.zeros(len(boxes))
    for frame in range(len(starts) - 1):
        for i in range(starts[frame], starts[frame + 1]):
            for j in range(starts_regions[frame], starts_regions[frame + 1]):
                shared = _image_overlap(boxes, i, regions, j)
                if shared > 0.0:
                    share[i] = max(share[i], shared / _image_area(boxes, i))
    return share


class Task(NamedTuple):
    """What is matched: one class, metric, overlap and difficulty.

    Attributes:
        overlaps: ``(P,)``.
        pairs: ``(F + 1,)`` first pair of each frame.
        boxes: ``(F + 1,)`` first box of each frame.
        detections: ``(F + 1,)`` first detection of each frame.
        box_flags: ``(N,)`` int8.
        detection_flags: ``(M,)`` int8.
        scores: ``(M,)``.
        excused: ``(M,)`` bool, whether the detection is no false alarm wherever it falls.
        box_alpha: ``(N,)`` observation angles, radians.
        detection_alpha: ``(M,)``.
        min_overlap: Overlap to exceed.
    """

    overlaps: np.ndarray
    pairs: np.ndarray
    boxes: np.ndarray
    detections: np.ndarray
    box_flags: np.ndarray
    detection_flags: np.ndarray
    scores: np.ndarray
    excused: np.ndarray
    box_alpha: np.ndarray
    detection_alpha: np.ndarray
    min_overlap: float


@jit
def scores_of_matches(task):
    """Scores of the detections that find a box when each box takes its best-scored candidate."""
    found = np.empty(len(task.box_flags))
    num_found = 0
    taken = task.detection_flags == OTHER
    for frame in range(len(task.boxes) - 1):
        pair = task.pairs[frame]
        first, last = task.detections[frame], task.detections[frame + 1]
        for i in range(task.boxes[frame], task.boxes[frame + 1]):
            best = -1
            for j in range(first, last):
                if not taken[j] and task.overlaps[pair + j - first] > task.min_overlap:
                    if best < 0 or task.scores[j] > task.scores[best]:
                        best = j
            pair += last - first
            if task.box_flags[i] == OTHER or best < 0:
                continue
            taken[best] = True
            if task.box_flags[i] == COUNTS and task.detection_flags[best] == COUNTS:
                found[num_found] = task.scores[best]
                num_found += 1
    return found[:num_found]


@jit
def _largest_candidate(task, pair, first, last, taken):
    """The detection that overlaps a box most; an ignored one only where nothing else is there."""
    best, best_overlap = -1, task.min_overlap
    for j in range(first, last):
        overlap = task.overlaps[pair + j - first]
        if taken[j] or not overlap > task.min_overlap:
            continue
        if task.detection_flags[j] == COUNTS:
            if best < 0 or task.detection_flags[best] == IGNORED or overlap > best_overlap:
                best, best_overlap = j, overlap
        elif best < 0:
            best = j
    return best


@jit
def _match_frame(task, frame, threshold, taken):
    """One frame at one threshold: boxes found, false alarms, boxes missed, similarity."""
    pair = task.pairs[frame]
    first, last = task.detections[frame], task.detections[frame + 1]
    for j in range(first, last):
        taken[j] = task.detection_flags[j] == OTHER or task.scores[j] < threshold
    found, missed, similarity = 0, 0, 0.0
    for i in range(task.boxes[frame], task.boxes[frame + 1]):
        best = -1
        if task.box_flags[i] != OTHER:
            best = _largest_candidate(task, pair, first, last, taken)
        pair += last - first
        if best < 0:
            missed += task.box_flags[i] == COUNTS
            continue
        taken[best] = True
        if task.box_flags[i] == COUNTS and task.detection_flags[best] == COUNTS:
            found += 1
            similarity += 0.5 * (1.0 + np.cos(task.box_alpha[i] - task.detection_alpha[best]))
    false_alarms = 0
    for j in range(first, last):
        if not taken[j] and task.detection_flags[j] == COUNTS and not task.excused[j]:
            false_alarms += 1
    return found, false_alarms, missed, similarity


@jit
def count_matches(task, thresholds):
    """Totals at descending thresholds when each box takes its largest overlap; ``(T, 4)``.

    Columns: boxes found, false alarms, boxes missed, orientation similarity of the found.
    """
    totals = np.zeros((len(thresholds), 4))
    taken = np.zeros(len(task.scores), dtype=np.bool_)
    for frame in range(len(task.boxes) - 1):
        counts = (0, 0, 0, 0.0)
        num_before = -1
        for t in range(len(thresholds)):
            num_active = 0
            for j in range(task.detections[frame], task.detections[frame + 1]):
                num_active += task.scores[j] >= thresholds[t]
            if num_active != num_before:  # else the same detections as at the threshold before
                counts = _match_frame(task, frame, thresholds[t], taken)
                num_before = num_active
            totals[t, 0] += counts[0]
            totals[t, 1] += counts[1]
            totals[t, 2] += counts[2]
            totals[t, 3] += counts[3]
    return totals


@jit
def largest_overlap(overlaps, pairs, boxes, detections, box_flags, is_class):
    """Largest overlap of a box that counts with a detection of its class; 0 without a pair."""
    largest = 0.0
    for frame in range(len(boxes) - 1):
        pair = pairs[frame]
        for i in range(boxes[frame], boxes[frame + 1]):
            for j in range(detections[frame], detections[frame + 1]):
                if box_flags[i] == COUNTS and is_class[j]:
                    largest = max(largest, overlaps[pair])
                pair += 1
    return largest


@jit
def nearest_recall_thresholds(descending, num_truth):
    """The development kit's choice: for each recall position the score that comes nearest.

    A score serves one position at most, so fewer than 41 boxes never reach all 41 positions.
    """
    thresholds = np.empty(len(descending))
    num_thresholds = 0
    position = 0.0
    for i in range(len(descending)):
        is_last = i == len(descending) - 1
        left = (i + 1) / num_truth
        right = left if is_last else (i + 2) / num_truth
        if right - position < position - left and not is_last:
            continue
        thresholds[num_thresholds] = descending[i]
        num_thresholds += 1
        position += 1.0 / _RECALL_STEPS
    return thresholds[:num_thresholds]

"""Numba kernels of the KITTI evaluation: overlaps in the image, matching, recall positions.

Frames lie one after the other in flat arrays; ``starts`` are ``(F + 1,)`` first rows and the
total. Overlaps of a frame are its truth x detections block, detections the fast axis.
"""

from __future__ import annotations

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


@jit
def scores_of_matches(
    overlaps, starts_pairs, starts_truth, starts_detections, truth_flags, detection_flags,
    scores, min_overlap,
):  # fmt: skip
    """Scores of the detections that find a box when each box takes its best-scored candidate."""
    found = np.empty(len(truth_flags))
    num_found = 0
    taken = np.zeros(len(scores), dtype=np.bool_)
    for frame in range(len(starts_truth) - 1):
        pair = starts_pairs[frame]
        first, last = starts_detections[frame], starts_detections[frame + 1]
        for i in range(starts_truth[frame], starts_truth[frame + 1]):
            best = -1
            for j in range(first, last):
                candidate = overlaps[pair + j - first] > min_overlap
                if candidate and not taken[j] and detection_flags[j] != OTHER:
                    if best < 0 or scores[j] > scores[best]:
                        best = j
            pair += last - first
            if truth_flags[i] == OTHER or best < 0:
                continue
            taken[best] = True
            if truth_flags[i] == COUNTS and detection_flags[best] == COUNTS:
                found[num_found] = scores[best]
                num_found += 1
    return found[:num_found]


@jit
def _match_frame(
    overlaps, pair, first_truth, last_truth, first, last, truth_flags, detection_flags,
    scores, min_overlap, threshold, in_dont_care, truth_alpha, detection_alpha, taken,
):  # fmt: skip
    """One frame at one threshold: boxes found, false alarms, boxes missed, similarity."""
    found, missed, similarity = 0, 0, 0.0
    for j in range(first, last):
        taken[j] = detection_flags[j] == OTHER or scores[j] < threshold
    for i in range(first_truth, last_truth):
        best, best_overlap = -1, min_overlap
        for j in range(first, last):
            overlap = overlaps[pair + j - first]
            if taken[j] or not overlap > min_overlap:
                continue
            # The largest overlap wins; an ignored detection only where nothing else is there.
            if detection_flags[j] == COUNTS:
                if best < 0 or detection_flags[best] == IGNORED or overlap > best_overlap:
                    best, best_overlap = j, overlap
            elif best < 0:
                best = j
        pair += last - first
        if truth_flags[i] == OTHER:
            continue
        if best < 0:
            missed += truth_flags[i] == COUNTS
            continue
        taken[best] = True
        if truth_flags[i] == COUNTS and detection_flags[best] == COUNTS:
            found += 1
            similarity += 0.5 * (1.0 + np.cos(truth_alpha[i] - detection_alpha[best]))
    false_alarms = 0
    for j in range(first, last):
        if not taken[j] and detection_flags[j] == COUNTS and not in_dont_care[j]:
            false_alarms += 1
    return found, false_alarms, missed, similarity


@jit
def count_matches(
    overlaps, starts_pairs, starts_truth, starts_detections, truth_flags, detection_flags,
    scores, min_overlap, thresholds, in_dont_care, truth_alpha, detection_alpha,
):  # fmt: skip
    """Totals at descending thresholds when each box takes its largest overlap; ``(T, 4)``.

    Columns: boxes found, false alarms, boxes missed, orientation similarity of the found.
    """
    totals = np.zeros((len(thresholds), 4))
    taken = np.zeros(len(scores), dtype=np.bool_)
    for frame in range(len(starts_truth) - 1):
        first, last = starts_detections[frame], starts_detections[frame + 1]
        counts = (0, 0, 0, 0.0)
        num_before = -1
        for t in range(len(thresholds)):
            num_active = 0
            for j in range(first, last):
                num_active += scores[j] >= thresholds[t]
            if num_active != num_before:  # else the same detections as at the threshold before
                counts = _match_frame(
                    overlaps, starts_pairs[frame], starts_truth[frame], starts_truth[frame + 1],
                    first, last, truth_flags, detection_flags, scores, min_overlap,
                    thresholds[t], in_dont_care, truth_alpha, detection_alpha, taken,
                )  # fmt: skip
                num_before = num_active
            totals[t, 0] += counts[0]
            totals[t, 1] += counts[1]
            totals[t, 2] += counts[2]
            totals[t, 3] += counts[3]
    return totals


@jit
def largest_overlap(
    overlaps, starts_pairs, starts_truth, starts_detections, truth_flags, is_class
):
    """Largest overlap of a box that counts with a detection of its class; 0 without a pair."""
    largest = 0.0
    for frame in range(len(starts_truth) - 1):
        pair = starts_pairs[frame]
        for i in range(starts_truth[frame], starts_truth[frame + 1]):
            for j in range(starts_detections[frame], starts_detections[frame + 1]):
                if truth_flags[i] == COUNTS and is_class[j]:
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

"""AP by distance: KITTI's evaluation of what lies in a ring around the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gemini_det3d.evaluation.functional.kitti_evaluate import check_frames, evaluate_kitti
from gemini_det3d.evaluation.functional.kitti_report import KittiResult
from gemini_det3d.formats.kitti import Objects
from gemini_det3d.ops.rotated_iou import camera_to_upright, iou_3d

EDGES_M = (0.0, 15.0, 30.0, 45.0, 70.0)
_IGNORED = 99  # an occlusion beyond what any difficulty takes


def evaluate_by_distance(
    truth: Sequence[Objects],
    detections: Sequence[Objects],
    classes: Sequence[str],
    edges_m: Sequence[float] = EDGES_M,
) -> list[tuple[float, float, KittiResult]]:
    """The 3D figures of each ring.

    A box outside of the ring is ignored, as KITTI ignores one that is too occluded. A detection is
    where the box lies that it overlaps most, and where it lies itself if it overlaps none, so that
    a box near an edge keeps its detection.

    Args:
        truth: Ground truth of each frame.
        detections: Detections of the same frames, with scores.
        classes: Classes to evaluate.
        edges_m: Distances on the ground where rings begin and end, rising, metres.

    Returns:
        For each ring: from, to, the figures.

    Raises:
        ValueError: As :func:`evaluate_kitti`.
    """
    check_frames(truth, detections)
    ranges = [(_distance(real), _place(found, real)) for real, found in zip(truth, detections)]
    rings = []
    for low, high in zip(edges_m, edges_m[1:]):
        inside = [[(low <= d) & (d < high) for d in pair] for pair in ranges]
        real = [
            replace(frame, occluded=np.where(near, frame.occluded, _IGNORED))
            for frame, (near, _) in zip(truth, inside)
        ]
        found = [frame.select(near) for frame, (_, near) in zip(detections, inside)]
        rings.append((low, high, evaluate_kitti(real, found, classes, metrics=("3d",))))
    return rings


def _distance(objects: Objects) -> np.ndarray:
    """``(N,)`` metres on the ground."""
    return np.hypot(objects.location[:, 0], objects.location[:, 2])


def _place(found: Objects, real: Objects) -> np.ndarray:
    """``(N,)`` distance of each detection, or of the box that it overlaps most."""
    own = _distance(found)
    if not len(found) or not len(real):
        return own
    overlaps = iou_3d(_upright(found), _upright(real))
    best = overlaps.argmax(axis=1)
    return np.where(overlaps.max(axis=1) > 0, _distance(real)[best], own)


def _upright(objects: Objects) -> np.ndarray:
    height, width, length = objects.dimensions.T
    columns = [objects.location, length, height, width, objects.rotation_y]
    return camera_to_upright(np.column_stack(columns))

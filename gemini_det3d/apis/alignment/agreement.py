"""How well points, 3D boxes and labelled 2D boxes agree, object by object.

Two ties are tested. LiDAR to boxes: a box that was shifted against the cloud cuts through its
object, so some of the points around it lie just outside. Boxes and points to image: the projection
of a 3D box is compared with the 2D box that an annotator drew and the pipeline augmented on its
own, without any calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemini_det3d.geometry.boxes import as_box_sees, project_box_outlines, project_points

# An object is judged when so many points lie in or near its box.
_MIN_POINTS = 10
# Points this far around a box count as near it; the lowest part of a box is left out, for there
# the ground is near every object.
_NEAR_M, _GROUND_M = 0.4, 0.35
# 2D boxes smaller than this say nothing, pixels.
_MIN_SIDE_PX = 6.0


@dataclass(frozen=True)
class Agreement:
    """Figures of one object; NaN where there is nothing to compare.

    Attributes:
        inside: Share of the points near the 3D box that lie in it, 0 to 1.
        overlap: Intersection over union of the projected 3D box and the labelled 2D box.
        offset: Distance of their centres over the labelled box's diagonal.
        covered: Share of the points in the 3D box that fall into the labelled 2D box.
    """

    inside: float
    overlap: float
    offset: float
    covered: float


# Medians over objects that pass. Annotators are a few pixels off; a tenth of an object is not.
LIMITS = {
    "inside": (">=", 0.8, "points near a 3D box that lie in it"),
    "overlap": (">=", 0.7, "overlap of projected 3D boxes and labelled 2D boxes"),
    "offset": ("<=", 0.08, "distance of their centres, in diagonals"),
    "covered": (">=", 0.9, "points of a 3D box that fall into the labelled 2D box"),
}


@dataclass(frozen=True)
class Verdict:
    """What all objects say together.

    Attributes:
        medians: By name of the figure; NaN where no object has it.
        counts: Objects that have it.
        faults: One line each; empty when all agree.
        gaps: What could not be checked, one line each.
        pictures: Files that were drawn.
    """

    medians: dict[str, float]
    counts: dict[str, int]
    faults: tuple[str, ...]
    gaps: tuple[str, ...]
    pictures: tuple[Path, ...] = ()


def agreement_of(
    points: np.ndarray,
    boxes: np.ndarray,
    matrix: np.ndarray,
    image_size: tuple[int, int],
    labels_2d: np.ndarray | None,
) -> list[Agreement]:
    """Compare one image's worth of data.

    Args:
        points: ``(N, 3 or more)`` augmented points, metres.
        boxes: ``(G, 7)`` augmented boxes: bottom centre, length, width, height, yaw.
        matrix: ``(3, 4)`` augmented point -> pixel of the augmented image.
        image_size: ``(width, height)``.
        labels_2d: ``(L, 4)`` augmented 2D boxes in any order, or None without any.

    Returns:
        Figures of every object with enough points.
    """
    outlines = project_box_outlines(boxes, matrix, image_size)
    found = []
    for box, outline in zip(boxes, outlines):
        near, inside = _near_and_inside(points, box)
        if near.sum() < _MIN_POINTS:
            continue
        share = float(inside.sum() / near.sum())
        pixels, _ = project_points(points[inside, :3], matrix)
        found.append(Agreement(share, *_against_label(outline, pixels, labels_2d)))
    return found


def judge(found: Sequence[Agreement]) -> Verdict:
    """Hold the medians over objects against the limits.

    Returns:
        The verdict. No object at all is a fault: nothing was shown to agree.
    """
    medians, counts, faults, gaps = {}, {}, [], []
    for name, (sign, limit, meaning) in LIMITS.items():
        values = np.array([getattr(agreement, name) for agreement in found], dtype=np.float64)
        values = values[~np.isnan(values)]
        counts[name] = len(values)
        medians[name] = float(np.median(values)) if len(values) else float("nan")
        if not len(values):
            gaps.append(f"not checked: {meaning} (nothing to compare)")
        elif (medians[name] < limit) if sign == ">=" else (medians[name] > limit):
            faults.append(f"{meaning}: median {medians[name]:.3f}, must be {sign} {limit}")
    if not found:
        faults.append("no truth box holds enough points: the samples show nothing, or boxes and "
                      "points are far apart")  # fmt: skip
    return Verdict(medians, counts, tuple(faults), tuple(gaps))


def _near_and_inside(points: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the points near a box, above the ground, and of those of them inside it."""
    places, height = as_box_sees(points, box), box[5]
    out = (np.abs(places[:, :2]) - box[3:5] / 2).max(axis=1)
    above = places[:, 2]
    near = (above > min(_GROUND_M, height / 2)) & (out < _NEAR_M) & (above < height + _NEAR_M)
    return near, near & (out <= 0) & (above <= height)


def _against_label(
    outline: np.ndarray, pixels: np.ndarray, labels: np.ndarray | None
) -> tuple[float, float, float]:
    """Overlap, offset and cover with the best fitting label; NaN where there is none to judge."""
    nothing = (float("nan"),) * 3
    sides = outline[2:] - outline[:2]
    if labels is None or not len(labels) or (sides < _MIN_SIDE_PX).any():
        return nothing
    shared = np.minimum(labels[:, 2:], outline[2:]) - np.maximum(labels[:, :2], outline[:2])
    shared = np.clip(shared, 0, None).prod(axis=1)
    areas = np.clip(labels[:, 2:] - labels[:, :2], 0, None).prod(axis=1)
    overlap = shared / (areas + sides.prod() - shared)
    best = int(overlap.argmax())
    label = labels[best]
    offset = np.linalg.norm((label[:2] + label[2:] - outline[:2] - outline[2:]) / 2)
    diagonal = max(float(np.linalg.norm(label[2:] - label[:2])), 1.0)
    seen = pixels[~np.isnan(pixels).any(axis=1)]
    within = ((seen >= label[:2] - 1) & (seen <= label[2:] + 1)).all(axis=1)
    covered = float(within.mean()) if len(seen) else float("nan")
    return float(overlap[best]), float(offset / diagonal), covered

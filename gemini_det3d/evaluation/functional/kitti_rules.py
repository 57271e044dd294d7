"""KITTI's rules for 3D object detection: what counts, at which overlap, how hard.

Source: the benchmark's page and development kit (Geiger et al., "Are we ready for autonomous
driving?", 2012); 40 recall positions: Simonelli et al., "Disentangling monocular 3D object
detection", 2019. Class names are compared without regard to case, as the kit does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Order in tables: in the image, its orientation, from above, the volume.
METRICS = ("bbox", "aos", "bev", "3d")
DONT_CARE = "dontcare"
# Boxes of these classes are neither found nor missed when their neighbour is evaluated.
NEIGHBOURS = {"car": ("van",), "pedestrian": ("person_sitting",)}

# Flags of a box for one class and one difficulty.
COUNTS, IGNORED, OTHER = 0, 1, -1


@dataclass(frozen=True)
class Difficulty:
    """Which ground-truth boxes a difficulty asks for.

    Attributes:
        name: As in tables and keys.
        min_height_px: Boxes in the image must be higher (detections: at least as high).
        max_occlusion: Largest ``occluded``.
        max_truncation: Largest ``truncated``.
    """

    name: str
    min_height_px: float
    max_occlusion: int
    max_truncation: float


DIFFICULTIES = (
    Difficulty("easy", 40.0, 0, 0.15),
    Difficulty("moderate", 25.0, 1, 0.30),
    Difficulty("hard", 25.0, 2, 0.50),
)

# (bbox, bev, 3d): the benchmark's own set first, then the loose one in common use.
_VEHICLE = ((0.7, 0.7, 0.7), (0.7, 0.5, 0.5))
_OTHERS = ((0.5, 0.5, 0.5), (0.5, 0.25, 0.25))
# KITTI ranks Car, Pedestrian and Cyclist only; large vehicles are held to the car's overlap.
MIN_OVERLAPS = {"car": _VEHICLE, "van": _VEHICLE, "truck": _VEHICLE}

OverlapSpec = float | Sequence[float] | Sequence[Sequence[float]]


def min_overlaps_of(
    class_name: str, given: Mapping[str, OverlapSpec] | None = None
) -> dict[str, tuple[float, ...]]:
    """The overlaps that a detection of a class must exceed.

    Args:
        class_name: Any name; one that KITTI does not know gets 0.5 (loose: 0.25).
        given: Own overlaps by class: one number for all metrics, a triple (bbox, bev, 3d), or
            several triples, the strictest first. Classes it does not name keep theirs.

    Returns:
        By metric, the distinct overlaps in the given order.

    Raises:
        ValueError: A given value is no such thing, or lies outside (0, 1).
    """
    wanted = {name.lower(): spec for name, spec in (given or {}).items()}
    triples = MIN_OVERLAPS.get(class_name.lower(), _OTHERS)
    if class_name.lower() in wanted:
        spec = wanted[class_name.lower()]
        try:
            triples = overlap_triples(spec)
        except ValueError as fault:
            raise ValueError(f"min_overlaps[{class_name!r}] is {spec!r}: {fault}") from None
    columns = dict(zip(("bbox", "bev", "3d"), zip(*triples)))
    overlaps = {metric: tuple(dict.fromkeys(values)) for metric, values in columns.items()}
    return {**overlaps, "aos": overlaps["bbox"]}


def overlap_triples(spec: OverlapSpec) -> tuple[tuple[float, ...], ...]:
    """Own overlaps of a class as triples (bbox, bev, 3d), the strictest first.

    Raises:
        ValueError: It is no number, triple or list of triples, or a value lies outside (0, 1).
    """
    values = np.asarray(spec, dtype=np.float64)
    if values.ndim == 0:
        values = np.full((1, 3), values)
    values = np.atleast_2d(values)
    if values.ndim != 2 or values.shape[1] != 3 or not len(values):
        raise ValueError("expected a number, (bbox, bev, 3d), or several of these triples")
    if not ((values > 0) & (values < 1)).all():
        raise ValueError("overlaps lie between 0 and 1")
    return tuple(tuple(row) for row in values.tolist())


def flag_truth(
    class_name: str,
    difficulty: Difficulty,
    names: np.ndarray,
    bbox: np.ndarray,
    occluded: np.ndarray,
    truncated: np.ndarray,
) -> np.ndarray:
    """Whether ground truth counts, is ignored, or is none of this class's business.

    Args:
        class_name: Class evaluated.
        difficulty: Difficulty evaluated.
        names: ``(N,)`` lower-case class names.
        bbox: ``(N, 4)`` x1, y1, x2, y2 in pixels.
        occluded: ``(N,)``.
        truncated: ``(N,)``.

    Returns:
        ``(N,)`` int8 of COUNTS, IGNORED (too small, occluded or truncated, or a neighbouring
        class) and OTHER.
    """
    is_class = names == class_name.lower()
    is_easier = ~np.any(hidden(difficulty, bbox, occluded, truncated), axis=0)
    flags = np.full(len(names), OTHER, dtype=np.int8)
    flags[is_class | np.isin(names, NEIGHBOURS.get(class_name.lower(), ()))] = IGNORED
    flags[is_class & is_easier] = COUNTS
    return flags


def hidden(
    difficulty: Difficulty, bbox: np.ndarray, occluded: np.ndarray, truncated: np.ndarray
) -> np.ndarray:
    """Why boxes are too hard: ``(3, N)`` bool, too low, too occluded, too truncated."""
    return np.stack(
        [
            bbox[:, 3] - bbox[:, 1] <= difficulty.min_height_px,
            occluded > difficulty.max_occlusion,
            truncated > difficulty.max_truncation,
        ]
    )


def flag_detections(
    class_name: str, difficulty: Difficulty, names: np.ndarray, bbox: np.ndarray
) -> np.ndarray:
    """Whether detections count, are ignored, or are of another class.

    Low detections are ignored whatever their class, as the development kit has it: one may take
    up a box of the class evaluated, which is then neither found nor missed.

    Args:
        class_name: Class evaluated.
        difficulty: Difficulty evaluated.
        names: ``(N,)`` lower-case class names.
        bbox: ``(N, 4)`` x1, y1, x2, y2 in pixels.

    Returns:
        ``(N,)`` int8 of COUNTS, IGNORED and OTHER.
    """
    flags = np.where(names == class_name.lower(), COUNTS, OTHER).astype(np.int8)
    flags[np.abs(bbox[:, 3] - bbox[:, 1]) < difficulty.min_height_px] = IGNORED
    return flags

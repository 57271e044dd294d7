"""Cars in a row, and KITTI's figures of one frame of them."""

from __future__ import annotations

import numpy as np

from gemini_det3d.evaluation import evaluate_kitti
from gemini_det3d.formats.kitti import Objects


def cars(count=1, name="Car", score=None, **changes) -> Objects:
    """Cars 20 m apart, 60 px high and apart, one behind the other."""
    index = np.arange(count)
    values = {
        "name": np.full(count, name),
        "truncated": np.zeros(count),
        "occluded": np.zeros(count),
        "alpha": np.full(count, 0.4),
        "bbox": np.column_stack([index * 90, 0 * index, index * 90 + 80, 0 * index + 60]),
        "dimensions": np.tile([1.5, 1.7, 4.1], (count, 1)),
        "location": np.column_stack([0.0 * index, 0 * index + 1.6, 20.0 * (index + 1)]),
        "rotation_y": np.full(count, 0.3),
        "score": None if score is None else np.broadcast_to(score, count),
    }
    return Objects(**{**values, **changes})


def evaluate(truth, found, classes=("Car",), **options):
    """Evaluate one frame, or lists of frames."""
    frames = (truth, found) if isinstance(truth, list) else ([truth], [found])
    return evaluate_kitti(*frames, classes, **options)


def join(*parts: Objects) -> Objects:
    fields = [f for f in Objects.__dataclass_fields__ if getattr(parts[0], f) is not None]
    return Objects(**{f: np.concatenate([getattr(part, f) for part in parts]) for f in fields})

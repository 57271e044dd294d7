"""What is drawn: boxes with names and, for detections, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabeledBoxes:
    """N boxes of one frame.

    Attributes:
        boxes: ``(N, 7)`` x, y, z of the bottom centre, length, width, height (metres), yaw
            (radians, from +x towards +y) in mmdet3d's LiDAR frame.
        names: N class names.
        scores: ``(N,)`` in [0, 1], or None for ground truth.
    """

    boxes: np.ndarray
    names: Sequence[str]
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Hold float64 arrays and refuse lengths that disagree."""
        boxes = np.asarray(self.boxes, dtype=np.float64)
        boxes = boxes.reshape(0, 7) if boxes.size == 0 else boxes
        if boxes.ndim != 2 or boxes.shape[1] != 7:
            raise ValueError(f"boxes have shape {boxes.shape}, expected (N, 7)")
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        if self.scores is not None:
            object.__setattr__(self, "scores", np.asarray(self.scores, dtype=np.float64))
        for what in ("names", "scores"):
            value = getattr(self, what)
            if value is not None and len(value) != len(boxes):
                raise ValueError(f"{len(value)} {what} for {len(boxes)} boxes")

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.boxes)

    @classmethod
    def empty(cls) -> LabeledBoxes:
        """No boxes."""
        return cls(np.zeros((0, 7)), ())

    def above(self, threshold: float) -> LabeledBoxes:
        """The boxes that score at least ``threshold``; all of them where there are no scores.

        Args:
            threshold: Lowest score kept.

        Returns:
            The boxes kept, in the same order.
        """
        if self.scores is None:
            return self
        kept = np.flatnonzero(self.scores >= threshold)
        return LabeledBoxes(self.boxes[kept], [self.names[i] for i in kept], self.scores[kept])

"""What an evaluation found, as numbers and as flat keys."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gemini_det3d.evaluation.functional.kitti_rules import DIFFICULTIES, METRICS

_LEVELS = tuple(d.name for d in DIFFICULTIES)


@dataclass(frozen=True)
class AveragePrecision:
    """One class, metric, overlap and difficulty.

    Attributes:
        class_name: The class.
        metric: 'bbox', 'aos', 'bev' or '3d'.
        min_overlap: Overlap that a detection must exceed.
        difficulty: 'easy', 'moderate' or 'hard'.
        ap40: Percent, NaN where there is nothing to measure.
        ap11: Percent, NaN likewise.
        devkit_ap40: What KITTI's development kit prints; differs below 41 boxes only.
        devkit_ap11: Likewise.
        num_truth: Boxes that count.
        recall: Largest recall reached, 0 to 1.
        curve: 41 values over recall 0, 1/40, ..., 1: precision, for 'aos' the similarity.
        best_overlap: Largest overlap of a box that counts with a detection of its class.
    """

    class_name: str
    metric: str
    min_overlap: float
    difficulty: str
    ap40: float
    ap11: float
    devkit_ap40: float
    devkit_ap11: float
    num_truth: int
    recall: float
    curve: tuple[float, ...]
    best_overlap: float

    @property
    def is_zero(self) -> bool:
        """Whether an average is shown as 0.00."""
        return min(self.ap40, self.ap11) < 0.005

    @property
    def is_short(self) -> bool:
        """Whether the development kit's averages differ because there are few boxes."""
        return not math.isnan(self.ap40) and (self.ap40, self.ap11) != (
            self.devkit_ap40,
            self.devkit_ap11,
        )


@dataclass(frozen=True)
class Census:
    """The boxes and detections of one class at one difficulty.

    Attributes:
        class_name: The class.
        difficulty: 'easy', 'moderate' or 'hard'.
        num_valid: Boxes that count.
        num_truth: All boxes of the class.
        num_low: Boxes of the class too low in the image (a box can have several reasons).
        num_occluded: Too occluded.
        num_truncated: Too truncated.
        num_neighbours: Boxes of the neighbouring class, ignored.
        num_detections: Detections of the class.
        num_low_detections: Of these, too low in the image and ignored.
        num_flat_detections: Of these, without a 3D size.
        num_without_alpha: Of these, without an observation angle.
        truth_without_alpha: Boxes that count without one.
    """

    class_name: str
    difficulty: str
    num_valid: int
    num_truth: int
    num_low: int
    num_occluded: int
    num_truncated: int
    num_neighbours: int
    num_detections: int
    num_low_detections: int
    num_flat_detections: int
    num_without_alpha: int
    truth_without_alpha: int


@dataclass(frozen=True)
class KittiFigures:
    """The numbers of a whole evaluation.

    Attributes:
        classes: Classes evaluated, in order.
        num_frames: Frames.
        truth_names: Boxes by class name as found in the truth, DontCare included.
        detection_names: Detections by class name.
        scores: Every average precision; class, metric and overlap, then difficulty.
        census: Every class and difficulty.
        recall_rule: 'devkit' or 'definition', how recall was placed below 41 boxes.
    """

    classes: tuple[str, ...]
    num_frames: int
    truth_names: dict[str, int]
    detection_names: dict[str, int]
    scores: tuple[AveragePrecision, ...]
    census: tuple[Census, ...]
    recall_rule: str = "definition"

    @property
    def is_comparable(self) -> bool:
        """Whether every figure may be compared with published ones: all follow KITTI's rule."""
        return not any(score.is_short for score in self.scores)

    def find(
        self, class_name: str, metric: str, difficulty: str, min_overlap: float | None = None
    ) -> AveragePrecision:
        """One entry.

        Args:
            class_name: One of ``classes``.
            metric: 'bbox', 'aos', 'bev' or '3d'.
            difficulty: 'easy', 'moderate' or 'hard'.
            min_overlap: None takes the first, the benchmark's own.

        Raises:
            KeyError: There is no such entry.
        """
        for score in self.scores:
            if (score.class_name, score.metric, score.difficulty) != (
                class_name,
                metric,
                difficulty,
            ):
                continue
            if min_overlap is None or score.min_overlap == min_overlap:
                return score
        raise KeyError(f"no {class_name} {metric} {difficulty} at {min_overlap}")

    def as_dict(self, devkit: bool = False) -> dict[str, float]:
        """Flat figures in percent.

        Args:
            devkit: The development kit's own figures, which differ below 41 boxes only.

        Returns:
            ``Car/3d_AP40_moderate_0.70`` and so on; ``mean/3d_AP40_moderate`` over the classes
            that have boxes, each at its own strictest overlap. NaN: nothing to measure.
        """
        figures: dict[str, float] = {}
        for count in ("AP40", "AP11"):
            for score in self.scores:
                key = f"{score.metric}_{count}_{score.difficulty}_{score.min_overlap:.2f}"
                figures[f"{score.class_name}/{key}"] = _figure(score, count, devkit)
            for metric in METRICS:
                for level in _LEVELS:
                    figures.update(self._mean(metric, level, count, devkit))
        return figures

    def _mean(self, metric: str, level: str, count: str, devkit: bool) -> dict[str, float]:
        found = []
        for name in self.classes:
            try:
                found.append(_figure(self.find(name, metric, level), count, devkit))
            except KeyError:  # the caller did not ask for this metric
                return {}
        known = [value for value in found if not math.isnan(value)]
        mean = sum(known) / len(known) if known else math.nan
        return {f"mean/{metric}_{count}_{level}": mean}


def _figure(score: AveragePrecision, count: str, devkit: bool) -> float:
    return getattr(score, ("devkit_" if devkit else "") + count.lower())

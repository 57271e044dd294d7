"""Scores of label maps from one confusion matrix.

Shape shorthand: K classes, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gemini_det3d.formats.segmentation import NO_SENSOR


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, ignored: int = 255
) -> np.ndarray:
    """Count pixels by truth and answer.

    Args:
        labels: ``(H, W)`` truth.
        predictions: ``(H, W)`` answer, classes 0 to K - 1.
        num_classes: K.
        ignored: Label that does not count.

    Returns:
        ``(K, K)`` int64; row: truth, column: answer.

    Raises:
        ValueError: Shapes differ, or a label or answer is no class.
    """
    if labels.shape != predictions.shape:
        raise ValueError(f"labels are {labels.shape}, predictions {predictions.shape}")
    is_counted = labels != ignored
    truth, answer = labels[is_counted].astype(np.int64), predictions[is_counted].astype(np.int64)
    for name, values in (("labels", truth), ("predictions", answer)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            raise ValueError(
                f"{name} go from {values.min()} to {values.max()}, there are {num_classes} classes"
            )
    pairs = np.bincount(num_classes * truth + answer, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def sample_confusion(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, ignored: int = 255
) -> np.ndarray:
    """`confusion_matrix` of one sample, NaN where a pixel's answer is not finite (negative).

    Args:
        labels: ``(H, W)`` truth.
        predictions: ``(H, W)`` answer; below 0 where the model gave NaN or infinity, `NO_SENSOR`
            everywhere where a stream had no sensor and so no answer.
        num_classes: K.
        ignored: Label that does not count.

    Returns:
        ``(K, K)`` float64; all NaN if any answer is not finite, so no score hides it; zeros of a
        stream without a sensor, which is not asked.
    """
    if (predictions == NO_SENSOR).all():
        return np.zeros((num_classes, num_classes))
    if (predictions < 0).any():
        return np.full((num_classes, num_classes), np.nan)
    return confusion_matrix(labels, predictions, num_classes, ignored).astype(np.float64)


@dataclass(frozen=True)
class SegScores:
    """Scores in percent; NaN for what does not occur.

    Attributes:
        pixel_accuracy: Share of pixels that are right.
        class_accuracy: ``(K,)`` share of each class's pixels that are right.
        class_iou: ``(K,)`` intersection over union.
    """

    pixel_accuracy: float
    class_accuracy: np.ndarray
    class_iou: np.ndarray

    @property
    def mean_accuracy(self) -> float:
        """Mean over the classes that occur in the truth."""
        return _mean(self.class_accuracy)

    @property
    def mean_iou(self) -> float:
        """Mean over the classes that occur in truth or answer."""
        return _mean(self.class_iou)


def seg_scores(confusion: np.ndarray) -> SegScores:
    """Scores of a ``(K, K)`` confusion matrix."""
    right, truth, answer = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return SegScores(
            pixel_accuracy=float(100 * right.sum() / np.float64(confusion.sum())),
            class_accuracy=100 * right / truth,
            class_iou=100 * right / (truth + answer - right),
        )


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

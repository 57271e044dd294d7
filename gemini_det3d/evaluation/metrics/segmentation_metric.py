"""Pixel accuracy, mean accuracy and mIoU of every stream and their ensemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmdet3d.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from gemini_det3d.evaluation.functional.segmentation import (
    SegScores,
    sample_confusion,
    seg_scores,
)
from gemini_det3d.formats.tables import text_table
from gemini_det3d.registration import register

_ENSEMBLE = "ensemble"  # the stream whose scores have no stream's name


@register(METRICS)
class SegmentationMetric(BaseMetric):
    """Scores from one confusion matrix over all pixels of the set, as the paper takes them.

    Each sample leaves a confusion matrix for each stream; mmengine gathers them from all
    processes and drops the samples that its sampler repeated to fill the last batch. The answers
    are ``<stream>/mIoU`` (``mAcc``, ``pAcc``) and, for the ensemble, the bare ``mIoU``.

    Args:
        num_classes: K; None: the number of the data set's classes.
        ignore_index: Label that does not count.
        with_classes: Whether each class's IoU of the ensemble is among the answers.
        collect_device: As in mmengine.
        prefix: As in mmengine.
    """

    default_prefix = "seg"

    def __init__(
        self,
        num_classes: int | None = None,
        ignore_index: int = 255,
        with_classes: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.with_classes = with_classes

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Compare predictions with labels."""
        count = self.num_classes or len(self.dataset_meta["classes"])
        for sample in data_samples:
            labels = sample["gt_sem_seg"]["data"][0].cpu().numpy()
            self.results.append(
                {
                    stream: sample_confusion(
                        labels, found[0].cpu().numpy(), count, self.ignore_index
                    )
                    for stream, found in sample["pred_sem_seg"].items()
                }
            )

    def compute_metrics(self, results: list[dict[str, np.ndarray]]) -> dict[str, float]:
        """Scores of all samples.

        Returns:
            Names to percent.

        Raises:
            ValueError: There are none.
        """
        if not results:
            raise ValueError("SegmentationMetric: there is no sample to evaluate")
        scores = {stream: seg_scores(sum(r[stream] for r in results)) for stream in results[0]}
        self._log(scores)
        broken = sum(any(np.isnan(counts).any() for counts in r.values()) for r in results)
        if broken:
            logger = MMLogger.get_current_instance()
            logger.warning(
                f"{broken} of {len(results)} samples have answers that are NaN or infinite, so "
                "their streams' scores are NaN: the model has diverged, or its input is not finite"
            )
        metrics = {}
        for stream, found in scores.items():
            start = "" if stream == _ENSEMBLE else f"{stream}/"
            metrics[f"{start}pAcc"] = found.pixel_accuracy
            metrics[f"{start}mAcc"] = found.mean_accuracy
            metrics[f"{start}mIoU"] = found.mean_iou
        if self.with_classes:
            values = scores[_ENSEMBLE].class_iou
            metrics.update({f"IoU/{n}": float(v) for n, v in zip(self._names(values), values)})
        return metrics

    def _log(self, scores: dict[str, SegScores]) -> None:
        rows = [[s, x.pixel_accuracy, x.mean_accuracy, x.mean_iou] for s, x in scores.items()]
        table = text_table(["stream", "pAcc", "mAcc", "mIoU"], rows)
        names = self._names(next(iter(scores.values())).class_iou)
        per_class = [
            [name, *(x.class_iou[k] for x in scores.values())] for k, name in enumerate(names)
        ]
        classes = text_table(["IoU", *scores], per_class)
        logger = MMLogger.get_current_instance()
        logger.info(f"\n{table}\n\n{classes}")

    def _names(self, values: np.ndarray) -> Sequence[str]:
        names = (self.dataset_meta or {}).get("classes", ())
        return names if len(names) == len(values) else [str(k) for k in range(len(values))]

"""Metrics registered in ``mmdet3d.registry.METRICS``, by importing this package."""

from __future__ import annotations

from gemini_det3d.evaluation.metrics.indoor_metric import IndoorDetectionMetric, RoomResult
from gemini_det3d.evaluation.metrics.kitti_metric import FrameResult, KittiDetectionMetric
from gemini_det3d.evaluation.metrics.segmentation_metric import SegmentationMetric
from gemini_det3d.evaluation.metrics.translation_metric import TranslationMetric, ViewResult

__all__ = [
    "FrameResult",
    "IndoorDetectionMetric",
    "KittiDetectionMetric",
    "RoomResult",
    "SegmentationMetric",
    "TranslationMetric",
    "ViewResult",
]

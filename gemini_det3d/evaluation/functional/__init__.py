"""Arrays in, numbers out."""

from __future__ import annotations

from gemini_det3d.evaluation.functional.feature_distances import frechet_distance, kernel_distance
from gemini_det3d.evaluation.functional.image_errors import (
    mean_absolute_error,
    mean_squared_error,
    stretch,
    to_bytes,
)
from gemini_det3d.evaluation.functional.indoor import IndoorResult, evaluate_indoor
from gemini_det3d.evaluation.functional.kitti_evaluate import (
    KITTI_CLASSES,
    check_options,
    evaluate_kitti,
)
from gemini_det3d.evaluation.functional.kitti_figures import AveragePrecision, Census
from gemini_det3d.evaluation.functional.kitti_report import KittiResult

__all__ = [
    "KITTI_CLASSES",
    "AveragePrecision",
    "Census",
    "IndoorResult",
    "KittiResult",
    "check_options",
    "evaluate_indoor",
    "evaluate_kitti",
    "frechet_distance",
    "kernel_distance",
    "mean_absolute_error",
    "mean_squared_error",
    "stretch",
    "to_bytes",
]

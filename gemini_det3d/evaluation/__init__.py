"""How good predictions are: ``functional`` (arrays in, numbers out) and ``metrics`` (registered).

Importing this package registers nothing.
"""

from __future__ import annotations

from gemini_det3d.evaluation.functional import KITTI_CLASSES, KittiResult, evaluate_kitti

__all__ = ["KITTI_CLASSES", "KittiResult", "evaluate_kitti"]

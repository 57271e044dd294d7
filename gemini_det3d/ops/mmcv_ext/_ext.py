"""``mmcv._ext`` where mmcv came without it; executed under that name, see :mod:`mmcv_finder`.

Every name that ``mmcv.ops`` asks for exists here; those without a form of ours say so when called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gemini_det3d.ops.mmcv_ext.info import get_compiler_version, get_compiling_cuda_version
from gemini_det3d.ops.mmcv_ext.nms import nms, nms_match, softnms
from gemini_det3d.ops.mmcv_ext.rotated import (
    box_iou_rotated,
    iou3d_boxes_overlap_bev_forward,
    iou3d_nms3d_forward,
    iou3d_nms3d_normal_forward,
    nms_rotated,
)
from gemini_det3d.ops.mmcv_ext.voxels import dynamic_voxelize_forward, hard_voxelize_forward

__all__ = [
    "box_iou_rotated",
    "dynamic_voxelize_forward",
    "get_compiler_version",
    "get_compiling_cuda_version",
    "hard_voxelize_forward",
    "iou3d_boxes_overlap_bev_forward",
    "iou3d_nms3d_forward",
    "iou3d_nms3d_normal_forward",
    "nms",
    "nms_match",
    "nms_rotated",
    "softnms",
]


def __getattr__(name: str) -> Callable:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def missing(*args: Any, **kwargs: Any) -> Any:
        del args, kwargs
        raise NotImplementedError(
            f"mmcv op {name!r} needs mmcv's compiled module, and here mmcv came without it: "
            "MMCV_WITH_OPS=1 pip install --no-build-isolation mmcv==2.1.0 (needs a compiler)"
        )

    missing.__name__ = name
    return missing

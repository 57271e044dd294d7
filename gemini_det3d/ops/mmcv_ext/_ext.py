"""``mmcv._ext`` where mmcv came without it; executed under that name, see :mod:`mmcv_finder`.

Every name that ``mmcv.ops`` asks for exists here; those without a form of ours say so when called.
As with CUDA kernels, autograd sees nothing of what an op does: where there is a gradient, mmcv's
``autograd.Function`` asks for it by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gemini_det3d.ops.mmcv_ext.attention import (
    assign_score_withk_backward,
    assign_score_withk_forward,
    ms_deform_attn_backward,
    ms_deform_attn_forward,
)
from gemini_det3d.ops.mmcv_ext.boxes import (
    bbox_overlaps,
    points_in_boxes_all_forward,
    points_in_boxes_cpu_forward,
    points_in_boxes_part_forward,
)
from gemini_det3d.ops.mmcv_ext.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from gemini_det3d.ops.mmcv_ext.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from gemini_det3d.ops.mmcv_ext.gathering import (
    gather_points_backward,
    gather_points_forward,
    group_points_backward,
    group_points_forward,
    stack_group_points_backward,
    stack_group_points_forward,
    three_interpolate_backward,
    three_interpolate_forward,
)
from gemini_det3d.ops.mmcv_ext.info import (
    get_compiler_version,
    get_compiling_cuda_version,
)
from gemini_det3d.ops.mmcv_ext.nms import (
    nms,
    nms_match,
    softnms,
)
from gemini_det3d.ops.mmcv_ext.points import (
    ball_query_forward,
    furthest_point_sampling_forward,
    furthest_point_sampling_with_dist_forward,
    knn_forward,
    stack_ball_query_forward,
    three_nn_forward,
)
from gemini_det3d.ops.mmcv_ext.polygons import (
    diff_iou_rotated_sort_vertices_forward,
)
from gemini_det3d.ops.mmcv_ext.roi_align import (
    roi_align_backward,
    roi_align_forward,
)
from gemini_det3d.ops.mmcv_ext.roi_pool3d import (
    roiaware_pool3d_backward,
    roiaware_pool3d_forward,
    roipoint_pool3d_forward,
)
from gemini_det3d.ops.mmcv_ext.rotated import (
    box_iou_rotated,
    iou3d_boxes_overlap_bev_forward,
    iou3d_nms3d_forward,
    iou3d_nms3d_normal_forward,
    nms_rotated,
)
from gemini_det3d.ops.mmcv_ext.scatter import (
    dynamic_point_to_voxel_backward,
    dynamic_point_to_voxel_forward,
)
from gemini_det3d.ops.mmcv_ext.sparse_conv import (
    fused_indice_conv_forward,
    get_indice_pairs_2d_forward,
    get_indice_pairs_3d_forward,
    get_indice_pairs_4d_forward,
    indice_conv_backward,
    indice_conv_forward,
    indice_maxpool_backward,
    indice_maxpool_forward,
)
from gemini_det3d.ops.mmcv_ext.voxels import (
    dynamic_voxelize_forward,
    hard_voxelize_forward,
)

__all__ = [
    "assign_score_withk_backward",
    "assign_score_withk_forward",
    "ball_query_forward",
    "bbox_overlaps",
    "box_iou_rotated",
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "diff_iou_rotated_sort_vertices_forward",
    "dynamic_point_to_voxel_backward",
    "dynamic_point_to_voxel_forward",
    "dynamic_voxelize_forward",
    "furthest_point_sampling_forward",
    "furthest_point_sampling_with_dist_forward",
    "fused_indice_conv_forward",
    "gather_points_backward",
    "gather_points_forward",
    "get_compiler_version",
    "get_compiling_cuda_version",
    "get_indice_pairs_2d_forward",
    "get_indice_pairs_3d_forward",
    "get_indice_pairs_4d_forward",
    "group_points_backward",
    "group_points_forward",
    "hard_voxelize_forward",
    "indice_conv_backward",
    "indice_conv_forward",
    "indice_maxpool_backward",
    "indice_maxpool_forward",
    "iou3d_boxes_overlap_bev_forward",
    "iou3d_nms3d_forward",
    "iou3d_nms3d_normal_forward",
    "knn_forward",
    "modulated_deform_conv_backward",
    "modulated_deform_conv_forward",
    "ms_deform_attn_backward",
    "ms_deform_attn_forward",
    "nms",
    "nms_match",
    "nms_rotated",
    "points_in_boxes_all_forward",
    "points_in_boxes_cpu_forward",
    "points_in_boxes_part_forward",
    "roi_align_backward",
    "roi_align_forward",
    "roiaware_pool3d_backward",
    "roiaware_pool3d_forward",
    "roipoint_pool3d_forward",
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
    "softmax_focal_loss_backward",
    "softmax_focal_loss_forward",
    "softnms",
    "stack_ball_query_forward",
    "stack_group_points_backward",
    "stack_group_points_forward",
    "three_interpolate_backward",
    "three_interpolate_forward",
    "three_nn_forward",
]

globals().update({name: torch.no_grad()(globals()[name]) for name in __all__})


def __getattr__(name: str) -> Callable:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def missing(*args: Any, **kwargs: Any) -> Any:
        del args, kwargs
        raise NotImplementedError(
            f"mmcv op {name!r} needs mmcv's compiled module, and here mmcv came without it: "
            "pip uninstall -y mmcv mmcv-lite && MMCV_WITH_OPS=1 pip install --no-build-isolation "
            "--no-cache-dir mmcv==2.1.0 (needs a compiler)"
        )

    missing.__name__ = name
    return missing

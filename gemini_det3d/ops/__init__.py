"""mmcv and spconv ops that exist for CUDA only, restated so that they run everywhere.

Each op looks at the device of its tensors: CPU tensors take the code here, CUDA tensors the
libraries' kernels. Nothing heavy is imported before an op is called.
"""

from .points import (
    ball_query,
    farthest_points,
    gather_points,
    group_points,
    points_in_boxes,
    three_interpolate,
    three_nn,
)
from .rotated_iou import bev_iou, grouped_iou, iou_3d, iou_3d_camera
from .scatter import (
    DynamicScatter,
    VoxelIndex,
    dynamic_scatter,
    find_voxels,
    scatter_max,
    scatter_mean,
)
from .sparse import enable_spconv_on_cpu

__all__ = [
    "DynamicScatter",
    "VoxelIndex",
    "ball_query",
    "bev_iou",
    "dynamic_scatter",
    "enable_spconv_on_cpu",
    "farthest_points",
    "find_voxels",
    "gather_points",
    "group_points",
    "grouped_iou",
    "iou_3d",
    "iou_3d_camera",
    "points_in_boxes",
    "scatter_max",
    "scatter_mean",
    "three_interpolate",
    "three_nn",
]

"""mmcv and spconv ops that exist for CUDA only, restated so that they run everywhere.

Each op looks at the device of its tensors: CPU tensors take the code here, CUDA tensors the
libraries' kernels. Nothing heavy is imported before an op is called.
"""

from .rotated_iou import bev_iou, grouped_iou, iou_3d, iou_3d_camera
from .scatter import DynamicScatter, VoxelIndex, dynamic_scatter, scatter_max, scatter_mean
from .sparse import enable_spconv_on_cpu

__all__ = [
    "DynamicScatter",
    "VoxelIndex",
    "bev_iou",
    "dynamic_scatter",
    "enable_spconv_on_cpu",
    "grouped_iou",
    "iou_3d",
    "iou_3d_camera",
    "scatter_max",
    "scatter_mean",
]

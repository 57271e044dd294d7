# The published KITTI recipe, as a project of mmdet3d.
_base_ = ["../../../configs/mvxnet/mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class.py"]

# mmdet3d's MVX-Net for KITTI with its parts replaced, name by name, by twins that compute the same
# on any device and do not break on empty frames, and with the plug-in's KITTI metric. No number of
# the recipe changes here.
_base_ = ["mmdet3d::mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py", "plugin.py"]

model = dict(
    type="GeminiMVXNet",
    pts_voxel_encoder=dict(type="GeminiDynamicVFE", fuse_at="last"),
    pts_middle_encoder=dict(type="GeminiSparseEncoder"),
)

# KITTI's one camera and LiDAR fused seen from above, on the range, voxels, anchors, data and
# schedule of mmdet3d's MVX-Net: both maps have cells of 0.4 m.
_base_ = ["../_base_/mvxnet_kitti.py"]

point_cloud_range = [0, -40, -3, 70.4, 40, 1]
map_norm = dict(type="BN", eps=1e-3, momentum=0.01)

model = dict(
    type="GeminiBEVDetector",
    pixel_offset=_base_.pixel_offset,
    img_backbone=dict(out_indices=(1, 2, 3)),
    # one map at stride 8
    img_neck=dict(
        _delete_=True,
        type="SECONDFPN",
        in_channels=[512, 1024, 2048],
        upsample_strides=[1, 2, 4],
        out_channels=[96, 96, 64],
        norm_cfg=map_norm,
    ),
    view_transform=dict(
        type="LiftToBEV",
        in_channels=256,
        out_channels=80,
        point_cloud_range=point_cloud_range,
        cell_size_m=[0.4, 0.4],
        depth_m=[2, 72, 0.5],
        num_refine=2,
        norm_cfg=map_norm,
    ),
    pts_voxel_encoder=dict(fusion_layer=None),
    pts_middle_encoder=dict(in_channels=64),
    pts_fusion_layer=dict(
        type="MapFusionNeck",
        in_channels=[80, 256],
        out_channels=256,
        operator=dict(type="GeminiFusion", num_heads=8),
    ),
)

# MVX-Net's start: the image backbone of it is taken, its neck is another.
default_hooks = dict(checked_loading=dict(starts_anew=["pts_", "img_neck", "view_transform"]))

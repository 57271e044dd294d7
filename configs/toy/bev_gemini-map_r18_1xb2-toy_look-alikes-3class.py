# Camera and LiDAR fused seen from above, very narrow, where only the camera tells the classes
# apart: the head, data and schedule of the point-level config. Pillars of 0.16 m, maps at 0.32 m.
_base_ = ["mvxnet_gemini-point_r18_1xb2-toy_look-alikes-3class.py"]

pillar_size = [0.16, 0.16, 4]
map_range = [0, -10.24, -3, 20.48, 10.24, 1]
map_norm = dict(type="BN", eps=1e-3, momentum=0.03)
width = 32

model = dict(
    type="GeminiBEVDetector",
    pixel_offset=_base_.pixel_offset,
    data_preprocessor=dict(voxel_layer=dict(voxel_size=pillar_size)),
    # one map at stride 4: at 8 a car 20 m away is four cells wide and not two high
    img_neck=dict(
        _delete_=True,
        type="SECONDFPN",
        in_channels=[16, 32],
        upsample_strides=[1, 2],
        out_channels=[16, 16],
        norm_cfg=map_norm,
    ),
    view_transform=dict(
        type="LiftToBEV",
        in_channels=32,
        out_channels=width,
        point_cloud_range=map_range,
        cell_size_m=[0.32, 0.32],
        depth_m=[2, 23, 0.5],
        norm_cfg=map_norm,
    ),
    pts_voxel_encoder=dict(
        feat_channels=[width, width], voxel_size=pillar_size, fuse_at="last", fusion_layer=None
    ),
    pts_middle_encoder=dict(
        _delete_=True, type="PointPillarsScatter", in_channels=width, output_shape=[128, 128]
    ),
    pts_stem=dict(
        type="SECOND",
        in_channels=width,
        layer_nums=[1],
        layer_strides=[2],
        out_channels=[width],
        norm_cfg=map_norm,
        conv_cfg=dict(type="Conv2d", bias=False),
    ),
    pts_fusion_layer=dict(
        type="MapFusionNeck",
        in_channels=[width, width],
        out_channels=width,
        operator=dict(type="GeminiFusion", num_heads=4),
    ),
    pts_backbone=dict(in_channels=width, norm_cfg=map_norm),
    pts_neck=dict(norm_cfg=map_norm),
)

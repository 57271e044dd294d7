# Camera and LiDAR fused seen from above, made narrow: trains and tests in minutes on one CPU core,
# on the scenes of the toy MVX-Net. LiDAR in pillars of 0.3 m, both maps fused at 0.6 m.
_base_ = ["mvxnet_gemini-point_r18_1xb2-toy_scenes-3class.py"]

pillar_size = [0.3125, 0.3125, 4]
cell_size_m = [0.625, 0.625]
bev_range = [0, -20, -3, 40, 20, 1]
bev_norm = dict(type="BN", eps=1e-3, momentum=0.03)
width = 32

model = dict(
    type="GeminiBEVDetector",
    pixel_offset=_base_.pixel_offset,
    data_preprocessor=dict(voxel_layer=dict(point_cloud_range=bev_range, voxel_size=pillar_size)),
    # One map at stride 8 from three stages: no level of a pyramid is left unread.
    img_neck=dict(
        _delete_=True,
        type="SECONDFPN",
        in_channels=[16, 32, 64],
        upsample_strides=[0.5, 1, 2],
        out_channels=[16, 16, 16],
        norm_cfg=bev_norm,
    ),
    view_transform=dict(
        type="LiftToBEV",
        in_channels=48,
        out_channels=width,
        point_cloud_range=bev_range,
        cell_size_m=cell_size_m,
        depth_m=[2, 42, 1],
        norm_cfg=bev_norm,
    ),
    pts_voxel_encoder=dict(
        _delete_=True,
        type="GeminiDynamicVFE",
        in_channels=4,
        feat_channels=[width, width],
        with_distance=False,
        with_cluster_center=True,
        with_voxel_center=True,
        voxel_size=pillar_size,
        point_cloud_range=bev_range,
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
        norm_cfg=bev_norm,
        conv_cfg=dict(type="Conv2d", bias=False),
    ),
    pts_fusion_layer=dict(
        type="MapFusionNeck",
        in_channels=[width, width],
        out_channels=width,
        operator=dict(type="GeminiFusion", num_heads=4),
    ),
    pts_backbone=dict(
        in_channels=width,
        layer_nums=[2, 2],
        layer_strides=[1, 2],
        out_channels=[48, 96],
        norm_cfg=bev_norm,
    ),
    pts_neck=dict(
        in_channels=[48, 96], upsample_strides=[1, 2], out_channels=[48, 48], norm_cfg=bev_norm
    ),
    # Anchors stand 0.6 m apart, so those of people are taken at less overlap than usual.
    train_cfg=dict(
        pts=dict(
            assigner=[
                dict(
                    type="Max3DIoUAssigner",
                    iou_calculator=dict(type="BboxOverlapsNearest3D"),
                    pos_iou_thr=positive,
                    neg_iou_thr=negative,
                    min_pos_iou=negative,
                    ignore_iof_thr=-1,
                )
                for positive, negative in ((0.25, 0.15), (0.25, 0.15), (0.5, 0.35))
            ]
        )
    ),
)

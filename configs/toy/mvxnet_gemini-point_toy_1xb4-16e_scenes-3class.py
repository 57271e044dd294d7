# MVX-Net + GeminiFusion made narrow: the whole pipeline on two CPU cores, on synthetic scenes.
_base_ = ["../_base_/mvxnet_kitti.py"]

voxel_size = [0.1, 0.1, 0.2]
point_cloud_range = [0, -20, -3, 40, 20, 1]
norm_cfg = dict(type="SmallBatchNorm1d", eps=1e-3, momentum=0.01)

model = dict(
    data_preprocessor=dict(
        voxel_layer=dict(point_cloud_range=point_cloud_range, voxel_size=voxel_size),
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
    ),
    img_backbone=dict(
        depth=18,
        base_channels=16,
        frozen_stages=-1,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        style="pytorch",
    ),
    img_neck=dict(
        in_channels=[16, 32, 64, 128],
        out_channels=32,
        norm_cfg=dict(requires_grad=True),
        num_outs=4,
    ),
    pts_voxel_encoder=dict(
        type="GeminiDynamicVFE",
        feat_channels=[32, 32],
        voxel_size=voxel_size,
        point_cloud_range=point_cloud_range,
        fuse_at="all",
        fusion_layer=dict(
            _delete_=True,
            type="PointFusionNeck",
            img_channels=32,
            pts_channels=32,
            mid_channels=32,
            out_channels=32,
            img_levels=[0, 1, 2, 3],
            align_corners=False,
            operator=dict(type="GeminiFusion", num_heads=4),
        ),
    ),
    pts_middle_encoder=dict(
        in_channels=32,
        sparse_shape=[21, 400, 400],
        base_channels=16,
        output_channels=32,
        encoder_channels=((16,), (32, 32), (32, 32)),
        encoder_paddings=((1,), (1, 1), (1, 1)),
    ),
    pts_backbone=dict(
        in_channels=64, layer_nums=[3, 3], layer_strides=[1, 2], out_channels=[48, 96]
    ),
    pts_neck=dict(in_channels=[48, 96], upsample_strides=[1, 2], out_channels=[48, 48]),
    pts_bbox_head=dict(
        in_channels=96,
        feat_channels=96,
        anchor_generator=dict(
            ranges=[
                [0, -20, -1.73, 40, 20, -1.73],
                [0, -20, -1.73, 40, 20, -1.73],
                [0, -20, -1.73, 40, 20, -1.73],
            ]
        ),
    ),
)

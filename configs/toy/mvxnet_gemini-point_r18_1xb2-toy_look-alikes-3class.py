# MVX-Net + GeminiFusion, very narrow, where only the camera tells the classes apart. Pillars in
# place of voxels: an untrained sparse encoder hides the colours that the points carry, and a
# schedule this short would be spent on digging them out.
_base_ = ["../_base_/look_alikes.py"]

voxel_size = [0.16, 0.16, 4]
point_cloud_range = _base_.point_cloud_range
norm_cfg = dict(type="SmallBatchNorm1d", eps=1e-3, momentum=0.01)

model = dict(
    type="GeminiMVXNet",
    data_preprocessor=dict(
        type="Det3DDataPreprocessor",
        voxel=True,
        voxel_type="dynamic",
        voxel_layer=dict(
            max_num_points=-1,
            point_cloud_range=point_cloud_range,
            voxel_size=voxel_size,
            max_voxels=(-1, -1),
        ),
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
        pad_size_divisor=32,
    ),
    img_backbone=dict(
        type="mmdet.ResNet",
        depth=18,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(0, 1),
        base_channels=16,
        frozen_stages=-1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        style="pytorch",
    ),
    img_neck=dict(
        type="mmdet.FPN",
        in_channels=[16, 32],
        out_channels=32,
        norm_cfg=dict(type="BN", requires_grad=True),
        num_outs=2,
    ),
    pts_voxel_encoder=dict(
        type="GeminiDynamicVFE",
        in_channels=4,
        feat_channels=[16, 32],
        voxel_size=voxel_size,
        point_cloud_range=point_cloud_range,
        with_cluster_center=True,
        with_voxel_center=True,
        fuse_at="all",
        fusion_layer=dict(
            type="PointFusionNeck",
            img_channels=32,
            pts_channels=32,
            mid_channels=32,
            out_channels=32,
            img_levels=[0, 1],
            align_corners=False,
            padding_mode="border",  # zeros beside the image would dim its edge
            pixel_offset=_base_.pixel_offset,
            operator=dict(type="GeminiFusion", num_heads=4),
        ),
    ),
    pts_middle_encoder=dict(type="PointPillarsScatter", in_channels=32, output_shape=[128, 128]),
    pts_backbone=dict(
        type="SECOND",
        in_channels=32,
        layer_nums=[2, 2],
        layer_strides=[2, 2],
        out_channels=[32, 64],
    ),
    pts_neck=dict(
        type="SECONDFPN", in_channels=[32, 64], upsample_strides=[1, 2], out_channels=[32, 32]
    ),
    pts_bbox_head=dict(
        type="GeminiAnchor3DHead",
        num_classes=3,
        in_channels=64,
        feat_channels=64,
        use_direction_classifier=True,
        anchor_generator=dict(
            type="Anchor3DRangeGenerator",
            ranges=[[0, -10.24, -1.73, 20.48, 10.24, -1.73]],
            sizes=[[3.9, 1.6, 1.56]],  # one shape for all classes
            rotations=[0, 1.57],
            reshape_out=False,
        ),
        diff_rad_by_sin=True,
        bbox_coder=dict(type="DeltaXYZWLHRBBoxCoder"),
        # gamma 2 and alpha 0.25 all but silence three classes at a third each, where they start
        loss_cls=dict(
            type="mmdet.FocalLoss", use_sigmoid=True, gamma=1.0, alpha=0.5, loss_weight=2.0
        ),
        loss_bbox=dict(type="mmdet.SmoothL1Loss", beta=1.0 / 9.0, loss_weight=1.0),
        loss_dir=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=False, loss_weight=0.2),
    ),
    train_cfg=dict(
        pts=dict(
            assigner=dict(
                type="Max3DIoUAssigner",
                iou_calculator=dict(type="BboxOverlapsNearest3D"),
                pos_iou_thr=0.5,
                neg_iou_thr=0.35,
                min_pos_iou=0.35,
                ignore_iof_thr=-1,
            ),
            allowed_border=0,
            pos_weight=-1,
            debug=False,
        )
    ),
    test_cfg=dict(
        pts=dict(
            use_rotate_nms=True,
            nms_across_levels=False,
            nms_thr=0.01,
            score_thr=0.05,
            min_bbox_size=0,
            nms_pre=100,
            max_num=50,
        )
    ),
)

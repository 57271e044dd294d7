# VoteNet + GeminiFusion made narrow, for CPUs: a quarter of the seeds and of the channels, a
# ResNet-18 of 16 channels from scratch with an FPN of three levels.
_base_ = ["votenet_sunrgbd.py"]

model = dict(
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
        pad_size_divisor=32,
    ),
    img_backbone=dict(
        type="mmdet.ResNet",
        depth=18,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        style="pytorch",
    ),
    img_neck=dict(type="mmdet.FPN", in_channels=[16, 32, 64], out_channels=32, num_outs=3),
    fusion_layer=dict(
        type="PointFusionNeck",
        coord_type="DEPTH",
        img_channels=32,
        pts_channels=64,
        mid_channels=32,
        out_channels=64,
        img_levels=[0, 1, 2],
        align_corners=False,
        padding_mode="border",  # zeros beside the image would dim its edge
        pixel_offset=_base_.pixel_offset,
        operator=dict(type="GeminiFusion", num_heads=4),
    ),
    backbone=dict(
        num_points=(512, 256, 128, 64),
        radius=(0.25, 0.4, 0.8, 1.2),
        num_samples=(16, 16, 8, 8),
        sa_channels=((16, 16, 32), (32, 32, 64), (64, 64, 64), (64, 64, 64)),
        fp_channels=((64, 64), (64, 64)),
    ),
    bbox_head=dict(
        vote_module_cfg=dict(in_channels=64, conv_channels=(64, 64)),
        vote_aggregation_cfg=dict(num_point=128, mlp_channels=[64, 64, 64, 64]),
        pred_layer_cfg=dict(in_channels=64, shared_conv_channels=(64, 64)),
    ),
)

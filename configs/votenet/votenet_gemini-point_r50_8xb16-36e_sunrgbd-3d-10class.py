# VoteNet whose 1,024 seeds read the image before they vote: the published recipe, and an image
# branch (ImageNet's ResNet-50, its stem and first stage frozen, then FPN) fused by GeminiFusion.
# ImVoteNet's branch is a detector trained on SUN RGB-D before and frozen as a whole.
_base_ = ["../_base_/votenet_sunrgbd.py"]

model = dict(
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
        pad_size_divisor=32,
    ),
    img_backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        style="caffe",
        init_cfg=dict(type="Pretrained", checkpoint="open-mmlab://detectron2/resnet50_caffe"),
    ),
    img_neck=dict(
        type="mmdet.FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=4
    ),
    fusion_layer=dict(
        type="PointFusionNeck",
        coord_type="DEPTH",
        img_channels=256,
        pts_channels=256,
        mid_channels=128,
        out_channels=256,
        img_levels=[0, 1, 2, 3],
        align_corners=False,
        padding_mode="border",  # zeros beside the image would dim its edge
        pixel_offset=_base_.pixel_offset,
        operator=dict(type="GeminiFusion", num_heads=8),
    ),
)
# VoteNet's rate of 0.008 is for layers that start at random.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"img_backbone": dict(lr_mult=0.01)}))

# CenterPoint with voxels of 0.1 m, as mmdet3d has it but for its class-balanced sampling, and six
# cameras lifted to the same map of 0.8 m; both maps are fused by GeminiFusion before the 2D
# backbone. Images of 704 x 256, ResNet-50.
_base_ = [
    "mmdet3d::_base_/models/centerpoint_voxel01_second_secfpn_nus.py",
    "mmdet3d::_base_/schedules/cyclic-20e.py",
    "mmdet3d::_base_/default_runtime.py",
    "../_base_/datasets/nuscenes_multi_view.py",
    "../_base_/plugin.py",
]

point_cloud_range = [-51.2, -51.2, -5.0, 51.2, 51.2, 3.0]
map_norm = dict(type="BN", eps=1e-3, momentum=0.01)

model = dict(
    type="GeminiBEVDetector",
    pixel_offset=_base_.pixel_offset,
    data_preprocessor=dict(
        voxel_layer=dict(point_cloud_range=point_cloud_range),
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        non_blocking=True,
    ),
    img_backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    # one map at stride 16
    img_neck=dict(
        type="SECONDFPN",
        in_channels=[512, 1024, 2048],
        upsample_strides=[0.5, 1, 2],
        out_channels=[96, 96, 64],
        norm_cfg=map_norm,
    ),
    view_transform=dict(
        type="LiftToBEV",
        in_channels=256,
        out_channels=80,
        point_cloud_range=point_cloud_range,
        cell_size_m=[0.8, 0.8],
        depth_m=[1, 61, 0.5],
        num_refine=2,
        norm_cfg=map_norm,
    ),
    pts_middle_encoder=dict(type="GeminiSparseEncoder"),
    pts_fusion_layer=dict(
        type="MapFusionNeck",
        in_channels=[80, 256],
        out_channels=256,
        operator=dict(type="GeminiFusion", num_heads=8),
    ),
    pts_bbox_head=dict(type="GeminiCenterHead", bbox_coder=dict(pc_range=point_cloud_range[:2])),
    train_cfg=dict(pts=dict(point_cloud_range=point_cloud_range)),
    test_cfg=dict(pts=dict(pc_range=point_cloud_range[:2])),
)

# The curve of mmdet3d's cyclic-20e, as shares of the rate: with the rate, scaled or set, all of it
# moves.
rise, fall = (
    {key: value for key, value in step.items() if key != "eta_min"}
    for step in _base_.param_scheduler[:2]
)
param_scheduler = [
    dict(**rise, eta_min_ratio=10.0),
    dict(**fall, eta_min_ratio=1e-4),
    *_base_.param_scheduler[2:],
]
del rise, fall
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=20)
auto_scale_lr = dict(enable=True, base_batch_size=32)
default_hooks = dict(
    checked_loading=dict(type="CheckedLoadingHook"),
    checkpoint=dict(interval=1, max_keep_ckpts=2),
)
# mmdet3d's inferencers need one.
visualizer = dict(
    type="Det3DLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer"
)

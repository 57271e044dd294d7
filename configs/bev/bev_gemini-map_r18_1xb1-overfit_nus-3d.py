# Does everything fit together on *my* frames? Learns a few nuScenes samples by heart, on a CPU: six
# cameras, the published range, classes and head; voxels of 0.2 m, a ResNet-18 from scratch, a
# narrow 2D part, no augmentation. A detector that cannot learn one sample has its data,
# calibration or labels wrong.
_base_ = ["bev_gemini-map_r50_8xb4-20e_nus-3d.py"]

voxel_size = [0.2, 0.2, 0.2]
trained_norm = dict(type="BN", requires_grad=True)
map_norm = dict(type="BN", eps=1e-3, momentum=0.1)
model = dict(
    data_preprocessor=dict(voxel_layer=dict(voxel_size=voxel_size)),
    img_backbone=dict(
        depth=18,
        base_channels=32,
        frozen_stages=-1,
        norm_cfg=trained_norm,
        norm_eval=False,
        init_cfg=None,
    ),
    img_neck=dict(in_channels=[64, 128, 256], out_channels=[32, 32, 32], norm_cfg=map_norm),
    view_transform=dict(in_channels=96, out_channels=48, num_refine=1, norm_cfg=map_norm),
    pts_middle_encoder=dict(
        _delete_=True,
        type="GeminiSparseEncoder",
        in_channels=5,
        sparse_shape=[41, 512, 512],
        base_channels=16,
        output_channels=16,
        encoder_channels=((16,), (32, 32), (32, 32)),
        encoder_paddings=((1,), (1, 1), (1, 1)),
        norm_cfg=dict(type="SmallBatchNorm1d", eps=1e-3, momentum=0.1),
    ),
    pts_fusion_layer=dict(in_channels=[48, 80], out_channels=64),
    pts_backbone=dict(in_channels=64, layer_nums=[2, 2], out_channels=[64, 128], norm_cfg=map_norm),
    pts_neck=dict(in_channels=[64, 128], out_channels=[64, 64], norm_cfg=map_norm),
    pts_bbox_head=dict(
        in_channels=128,
        share_conv_channel=32,
        separate_head=dict(head_conv=32),
        bbox_coder=dict(voxel_size=voxel_size[:2], out_size_factor=4),
    ),
    train_cfg=dict(pts=dict(grid_size=[512, 512, 40], voxel_size=voxel_size, out_size_factor=4)),
    test_cfg=dict(pts=dict(voxel_size=voxel_size[:2], out_size_factor=4)),
)

# A sample without sweeps stays as it is, not ten times its own cloud.
sweeps = {**_base_.train_pipeline[1], "pad_empty_sweeps": False}
train_pipeline = [
    _base_.train_pipeline[0],
    sweeps,
    *_base_.train_pipeline[2:4],
    dict(type="MultiViewImageAug", size=(704, 256)),
    dict(type="RandomFlip3D", sync_2d=False),  # never flips, but says so
    *_base_.train_pipeline[7:],
]
train_dataloader = dict(
    batch_size=1,
    num_workers=1,
    dataset=dict(
        _delete_=True,
        type="RepeatDataset",
        times=100,
        dataset={**_base_.train_dataloader.dataset, "pipeline": train_pipeline},
    ),
)
# The frames it learns are the frames it is drawn on; NuScenesMetric would want the whole set.
val_dataloader = val_cfg = val_evaluator = None
test_pipeline = [_base_.test_pipeline[0], {**sweeps, "test_mode": True}, *_base_.test_pipeline[2:]]
test_dataloader = dict(dataset=dict(ann_file="nuscenes_infos_train.pkl", pipeline=test_pipeline))
test_evaluator = dict(ann_file=_base_.data_root + "nuscenes_infos_train.pkl")
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(lr=0.002))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, begin=0, end=10, by_epoch=False),
    dict(
        type="CosineAnnealingLR", begin=0, end=1, T_max=1, by_epoch=True, convert_to_iter_based=True
    ),
]
auto_scale_lr = dict(enable=False)
default_hooks = dict(logger=dict(interval=10))

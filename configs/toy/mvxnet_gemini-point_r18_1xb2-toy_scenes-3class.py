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
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        base_channels=16,
        frozen_stages=-1,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        style="pytorch",
    ),
    img_neck=dict(
        in_channels=[16, 32, 64],
        out_channels=32,
        norm_cfg=dict(requires_grad=True),
        num_outs=3,
    ),
    pts_voxel_encoder=dict(
        type="GeminiDynamicVFE",
        feat_channels=[16, 32],
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
            img_levels=[0, 1, 2],
            align_corners=False,
            padding_mode="border",  # zeros beside the image would dim its edge
            pixel_offset=_base_.pixel_offset,
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

# data: scenes of `gemini-det3d make-scenes --preset toy`, converted by `gemini-det3d prepare kitti`
data_root = "data/scenes/"
train_pipeline = _base_.train_pipeline
train_pipeline[3].scale = [(374, 115), (458, 141)]
train_pipeline[4].update(rot_range=[-0.3925, 0.3925], translation_std=[0.1, 0.1, 0.1])
test_pipeline = _base_.test_pipeline
test_pipeline[2].img_scale = (416, 128)
for step in (*train_pipeline[6:8], test_pipeline[2].transforms[3]):
    step.point_cloud_range = point_cloud_range
del step
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(times=1, dataset=dict(data_root=data_root, pipeline=train_pipeline)),
)
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "kitti_infos_val.pkl")
test_evaluator = val_evaluator

# schedule: one rise and one fall of the learning rate over the whole run; tested at the end
max_epochs = 6
optim_wrapper = dict(optimizer=dict(lr=0.003))
param_scheduler = [
    dict(
        type="LinearLR", start_factor=0.1, begin=0, end=1, by_epoch=True, convert_to_iter_based=True
    ),
    dict(
        type="CosineAnnealingLR",
        begin=1,
        end=max_epochs,
        T_max=max_epochs - 1,
        eta_min=3e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
auto_scale_lr = dict(base_batch_size=2)
default_hooks = dict(logger=dict(interval=10))
load_from = None

# Does everything fit together on *my* frames? Learns a handful of KITTI frames by heart, on a CPU:
# the published range, voxel size, point encoder and anchors; a smaller image (624 x 192), a
# ResNet-18 from scratch, a narrower 2D part, no augmentation. A detector that cannot learn three
# frames has its data, calibration or labels wrong.
_base_ = ["mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class.py"]

data_root = "data/kitti/"
image_size = (624, 192)
trained_norm = dict(type="BN", requires_grad=True)
# Running statistics that follow within some hundred iterations.
point_norm = dict(type="SmallBatchNorm1d", eps=1e-3, momentum=0.1)
bev_norm = dict(type="BN", eps=1e-3, momentum=0.1)
model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395]),
    img_backbone=dict(
        depth=18,
        frozen_stages=-1,
        norm_cfg=trained_norm,
        norm_eval=False,
        style="pytorch",
    ),
    img_neck=dict(in_channels=[64, 128, 256, 512], out_channels=64, norm_cfg=trained_norm),
    pts_voxel_encoder=dict(
        norm_cfg=point_norm,
        fusion_layer=dict(
            img_channels=64,
            padding_mode="border",  # zeros beside the image would dim its edge
            pixel_offset=_base_.pixel_offset,
        ),
    ),
    pts_middle_encoder=dict(norm_cfg=point_norm),
    pts_backbone=dict(layer_nums=[2, 2], out_channels=[64, 128], norm_cfg=bev_norm),
    pts_neck=dict(in_channels=[64, 128], out_channels=[64, 64], norm_cfg=bev_norm),
    # Boxes of three frames are easy, finding them among 211,200 anchors is not: with the published
    # weights (1 and 2) the box regression owns the gradients, and scores stay near 0.05.
    pts_bbox_head=dict(
        in_channels=128,
        feat_channels=128,
        loss_cls=dict(loss_weight=2.0),
        loss_bbox=dict(loss_weight=0.5),
    ),
)

test_pipeline = _base_.test_pipeline
test_pipeline[2].img_scale = image_size
train_pipeline = _base_.train_pipeline
train_pipeline[3] = dict(type="Resize", scale=image_size, keep_ratio=True)
train_pipeline[4].update(rot_range=[0, 0], scale_ratio_range=[1.0, 1.0], translation_std=[0, 0, 0])
train_pipeline[5].flip_ratio_bev_horizontal = 0.0
train_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(times=20, dataset=dict(pipeline=train_pipeline)),
)
# The frames it learns are the frames it is tested on: this measures fit, nothing else.
val_dataloader = dict(dataset=dict(ann_file="kitti_infos_train.pkl", pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "kitti_infos_train.pkl")
test_evaluator = val_evaluator

max_epochs = 6  # of three frames, twenty times each: 360 steps
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
# A short memory and a tight clip: the first, large gradients must not slow down the rest.
optim_wrapper = dict(
    optimizer=dict(lr=0.006, betas=(0.9, 0.95)), clip_grad=dict(max_norm=5, norm_type=2)
)
# The fall follows the number of frames, whatever it is.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, begin=0, end=20, by_epoch=False),
    dict(
        type="CosineAnnealingLR",
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        eta_min=1e-4,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(enable=False)
# One frame a step: its statistics are not those of the test, so the last epochs use the test's.
default_hooks = dict(logger=dict(interval=10), freeze_norm=dict(type="FreezeNormHook", begin=4))
log_processor = dict(window_size=10)
load_from = None

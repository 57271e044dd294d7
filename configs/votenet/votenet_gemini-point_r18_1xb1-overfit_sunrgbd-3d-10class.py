# Does everything fit together on *my* frames? Learns a handful of SUN RGB-D frames by heart, on a
# CPU: the published voting and boxes; fewer points, a smaller image, a narrow ResNet-18 from
# scratch, no augmentation. A detector that cannot learn one frame has its data, calibration or
# labels wrong.
_base_ = ["../_base_/votenet_narrow_sunrgbd.py"]

data_root = "data/sunrgbd/"
image_scale = (292, 212)
num_points = 8192
keep_angle = dict(type="GlobalRotScaleTrans", rot_range=[0, 0], scale_ratio_range=[1.0, 1.0])
train_pipeline = [
    *_base_.train_pipeline[:3],
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(type="RandomFlip3D", sync_2d=False, flip_ratio_bev_horizontal=0.0),
    dict(keep_angle, translation_std=[0, 0, 0], shift_height=True),
    dict(type="PointSample", num_points=num_points),
    _base_.train_pipeline[-1],
]
test_pipeline = _base_.test_pipeline
test_pipeline[2].img_scale = image_scale
test_pipeline[2].transforms[-1].num_points = num_points
train_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(times=60, dataset=dict(data_root=data_root, pipeline=train_pipeline)),
)
# The frames it learns are the frames it is tested on: this measures fit, nothing else.
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file="sunrgbd_infos_train.pkl", pipeline=test_pipeline)
)
test_dataloader = val_dataloader
max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.006))
param_scheduler = [
    dict(
        type="CosineAnnealingLR",
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        eta_min=6e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
auto_scale_lr = dict(enable=False)
# One frame a step: its statistics are not those of the test, so the last epochs use the test's.
default_hooks = dict(logger=dict(interval=10), freeze_norm=dict(type="FreezeNormHook", begin=7))

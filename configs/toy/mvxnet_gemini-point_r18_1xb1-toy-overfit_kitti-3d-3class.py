# Ten real KITTI frames learned by heart in minutes of one core: the demo's narrow detector as far
# as KITTI's labels reach, and half as wide as the published range. The config of this name in
# ../mvxnet has the published range, point encoder and voxel size, for fewer frames. Neither says
# anything about frames that were not learned.
_base_ = ["mvxnet_gemini-point_r18_1xb2-toy_scenes-3class.py"]

voxel_size = [0.1, 0.1, 0.2]
point_cloud_range = [0, -20.8, -3, 70.4, 20.8, 1]
data_root = "data/kitti/"
# Running statistics that follow within some hundred iterations.
point_norm = dict(type="SmallBatchNorm1d", eps=1e-3, momentum=0.1)
bev_norm = dict(type="BN", eps=1e-3, momentum=0.1)
model = dict(
    data_preprocessor=dict(
        voxel_layer=dict(point_cloud_range=point_cloud_range, voxel_size=voxel_size)
    ),
    pts_voxel_encoder=dict(
        norm_cfg=point_norm, voxel_size=voxel_size, point_cloud_range=point_cloud_range
    ),
    pts_middle_encoder=dict(norm_cfg=point_norm, sparse_shape=[21, 416, 704]),
    pts_backbone=dict(layer_nums=[1, 3], norm_cfg=bev_norm),
    pts_neck=dict(norm_cfg=bev_norm),
    # Finding boxes among 110,000 anchors is harder than their shape; see ../mvxnet.
    pts_bbox_head=dict(
        anchor_generator=dict(
            ranges=[
                [0, -20.8, -0.6, 70.4, 20.8, -0.6],
                [0, -20.8, -0.6, 70.4, 20.8, -0.6],
                [0, -20.8, -1.78, 70.4, 20.8, -1.78],
            ]
        ),
        loss_cls=dict(loss_weight=2.0),
        loss_bbox=dict(loss_weight=0.5),
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[3] = dict(type="Resize", scale=(416, 128), keep_ratio=True)
train_pipeline[4].update(rot_range=[0, 0], scale_ratio_range=[1.0, 1.0], translation_std=[0, 0, 0])
train_pipeline[5].flip_ratio_bev_horizontal = 0.0
test_pipeline = _base_.test_pipeline
for step in (*train_pipeline[6:8], test_pipeline[2].transforms[3]):
    step.point_cloud_range = point_cloud_range
del step
train_dataloader = dict(
    batch_size=1,
    dataset=dict(times=8, dataset=dict(data_root=data_root, pipeline=train_pipeline)),
)
# The frames it learns are the frames it is tested on: this measures fit, nothing else.
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file="kitti_infos_train.pkl", pipeline=test_pipeline)
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "kitti_infos_train.pkl")
test_evaluator = val_evaluator

max_epochs = 6  # of ten frames, eight times each: 480 steps
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
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
default_hooks = dict(freeze_norm=dict(type="FreezeNormHook", begin=4))
auto_scale_lr = dict(enable=False)
log_processor = dict(window_size=10)

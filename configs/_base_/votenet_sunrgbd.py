# mmdet3d's VoteNet for SUN RGB-D with its parts replaced, name by name, by twins that compute the
# same on any device and name a bad file, and with the plug-in's indoor metric. No number of the
# recipe changes here; the pipelines also load the image, which a model without an image branch
# leaves unread.
_base_ = ["mmdet3d::votenet/votenet_8xb16_sunrgbd-3d.py", "plugin.py"]

# SUN RGB-D counts pixels from 1 at their centres, gemini_det3d.geometry from the image's edge.
pixel_offset = (-0.5, -0.5)

model = dict(
    type="GeminiVoteNet",
    data_preprocessor=dict(non_blocking=True),
    backbone=dict(type="GeminiPointNet2SASSG", sa_cfg=dict(type="GeminiPointSAModule")),
    bbox_head=dict(
        type="GeminiVoteHead",
        vote_aggregation_cfg=dict(type="GeminiPointSAModule"),
    ),
)

load_points = dict(
    type="LoadPointsFromFile",
    _scope_="gemini_det3d",
    coord_type="DEPTH",
    shift_height=True,
    load_dim=6,
    use_dim=[0, 1, 2],
    min_points=1,
)
load_image = dict(type="LoadImageFromFile", _scope_="gemini_det3d")
image_scale = (1333, 600)
num_points = 20000
train_pipeline = [
    load_points,
    load_image,
    dict(type="LoadAnnotations3D"),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    # Points and image are mirrored independently; the fusion layer undoes both.
    dict(type="RandomFlip3D", sync_2d=False, flip_ratio_bev_horizontal=0.5),
    dict(
        type="GlobalRotScaleTrans",
        rot_range=[-0.523599, 0.523599],
        scale_ratio_range=[0.85, 1.15],
        shift_height=True,
    ),
    dict(type="PointSample", num_points=num_points),
    dict(type="Pack3DDetInputs", keys=["points", "img", "gt_bboxes_3d", "gt_labels_3d"]),
]
test_pipeline = [
    load_points,
    load_image,
    dict(
        type="MultiScaleFlipAug3D",
        img_scale=image_scale,
        pts_scale_ratio=1,
        flip=False,
        transforms=[
            dict(type="Resize", scale=0, keep_ratio=True),
            dict(
                type="GlobalRotScaleTrans",
                rot_range=[0, 0],
                scale_ratio_range=[1.0, 1.0],
                translation_std=[0, 0, 0],
            ),
            dict(type="RandomFlip3D", sync_2d=False, flip_ratio_bev_horizontal=0.5),
            dict(type="PointSample", num_points=num_points),
        ],
    ),
    dict(type="Pack3DDetInputs", keys=["points", "img"]),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

val_evaluator = dict(type="IndoorDetectionMetric")
test_evaluator = val_evaluator

# The learning rate follows the batch, and a run that was cut off goes on with --resume.
auto_scale_lr = dict(enable=True)
default_hooks = dict(
    checked_loading=dict(type="CheckedLoadingHook"),
    checkpoint=dict(interval=1, max_keep_ckpts=2),
)

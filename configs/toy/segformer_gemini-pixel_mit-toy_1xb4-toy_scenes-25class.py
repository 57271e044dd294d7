# The four-modality segmentor made small: two CPU cores, synthetic scenes in DeLiVER's layout
# (`gemini-det3d make-scenes data/seg_scenes --layout deliver --train 240 --val 40`).
_base_ = ["../_base_/datasets/deliver_seg.py"]

data_root = "data/seg_scenes/"
model = dict(
    backbone=dict(
        arch=None,
        dims=(24, 48, 80, 96),
        depths=(1, 1, 2, 1),
        num_heads=(1, 2, 4, 4),
        operator=dict(type="GeminiFusion", num_heads=4),
        drop_path_rate=0.0,
        # narrow and trained from nothing: the released start is for wide, pretrained encoders
        linear_std=0.1,
        norm_std=0.3,
    ),
    decode_head=dict(embed_dim=64, dropout=0.0),
    loss=dict(_delete_=True, type="PixelCrossEntropy"),
    test_cfg=dict(rescale=True),
)
train_pipeline = [
    dict(type="LoadModalities"),
    dict(type="LoadSegLabels"),
    dict(type="SegColorJitter", prob=0.2, factors=(0.5, 1.5)),
    dict(type="AlignedFlip", prob=0.5),
    dict(type="SegRandomResizedCrop", crop_size=(96, 128), factors=(0.9, 1.4)),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadModalities"),
    dict(type="LoadSegLabels"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4, num_workers=1, dataset=dict(data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = val_dataloader

# schedule: one rise and one fall of the learning rate over the whole run; tested at the end
max_epochs = 12
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={"norm": dict(decay_mult=0.0)}),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=0.05,
        begin=0,
        end=1,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        begin=1,
        end=max_epochs,
        T_max=max_epochs - 1,
        eta_min=2e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1, save_best=None))
randomness = dict(seed=0)

# VoteNet + GeminiFusion made narrow: the whole pipeline on one CPU core, on synthetic rooms where
# tables and desks, and dressers and night stands, differ in colour alone.
_base_ = ["../_base_/votenet_narrow_sunrgbd.py"]

class_names = ("bed", "chair", "table", "desk", "dresser", "night_stand")
metainfo = dict(classes=class_names)
model = dict(
    bbox_head=dict(
        num_classes=6,
        bbox_coder=dict(
            num_sizes=6,
            mean_sizes=[
                [2.0, 1.4, 0.95],
                [0.54, 0.52, 0.92],
                [0.75, 1.3, 0.75],
                [0.75, 1.3, 0.75],
                [0.5, 0.75, 0.7],
                [0.5, 0.75, 0.7],
            ],
        ),
    )
)

# data: `gemini-det3d make-rooms --preset toy`, then `gemini-det3d prepare sunrgbd`
data_root = "data/rooms/"
image_scale = (160, 120)
num_points = 3072
train_pipeline = _base_.train_pipeline
train_pipeline[3].scale = image_scale
train_pipeline[6].num_points = num_points
test_pipeline = _base_.test_pipeline
test_pipeline[2].img_scale = image_scale
test_pipeline[2].transforms[-1].num_points = num_points
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(
        times=1, dataset=dict(data_root=data_root, pipeline=train_pipeline, metainfo=metainfo)
    ),
)
val_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, pipeline=test_pipeline, metainfo=metainfo)
)
test_dataloader = val_dataloader

# schedule: one rise and one fall of the learning rate over the whole run; tested at the end
max_epochs = 30
optim_wrapper = dict(optimizer=dict(lr=0.004))
param_scheduler = [
    dict(
        type="LinearLR", start_factor=0.1, begin=0, end=1, by_epoch=True, convert_to_iter_based=True
    ),
    dict(
        type="CosineAnnealingLR",
        begin=1,
        end=max_epochs,
        T_max=max_epochs - 1,
        eta_min=4e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
auto_scale_lr = dict(base_batch_size=4)
# Four rooms a step: the last epochs learn under the statistics that the test uses.
default_hooks = dict(logger=dict(interval=10), freeze_norm=dict(type="FreezeNormHook", begin=25))

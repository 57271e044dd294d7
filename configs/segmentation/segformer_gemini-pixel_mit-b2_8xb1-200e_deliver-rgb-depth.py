# DeLiVER, RGB and depth; published: 66.4 mIoU (val).
_base_ = [
    "../_base_/datasets/deliver_seg.py",
    "../_base_/schedules/seg_200e.py",
]

modalities = ["rgb", "depth"]
model = dict(
    modalities=modalities,
    data_preprocessor=dict(modalities=dict(_delete_=True, rgb={{_base_.rgb_scale}}, depth=dict())),
    backbone=dict(
        arch="b2",
        drop_path_rate=0.4,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/mit_b2_imagenet.pth"),
    ),
)
train_dataloader = dict(dataset=dict(modalities=modalities))
val_dataloader = dict(dataset=dict(modalities=modalities))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=8)

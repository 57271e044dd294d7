# MiT-B5 on SUN RGB-D; published: 53.3 mIoU.
_base_ = [
    "../_base_/datasets/sunrgbd_seg.py",
    "../_base_/schedules/seg_300e.py",
]

model = dict(
    backbone=dict(
        arch="b5",
        drop_path_rate=0.35,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/mit_b5_imagenet.pth"),
    )
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
auto_scale_lr = dict(base_batch_size=8)

# MiT-B4 on NYUDv2; published as a point of a plot only, slightly above 56.9 mIoU.
_base_ = [
    "../_base_/datasets/nyudv2_seg.py",
    "../_base_/schedules/seg_300e.py",
]

model = dict(
    backbone=dict(
        arch="b4",
        drop_path_rate=0.4,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/mit_b4_imagenet.pth"),
    )
)
auto_scale_lr = dict(base_batch_size=6)

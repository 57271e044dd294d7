# DeLiVER, all four modalities; published: 66.9 mIoU (val).
_base_ = [
    "../_base_/datasets/deliver_seg.py",
    "../_base_/schedules/seg_200e.py",
]

model = dict(
    backbone=dict(
        arch="b2",
        drop_path_rate=0.2,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/mit_b2_imagenet.pth"),
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=8)

# MiT-B3 on SUN RGB-D; published: 52.7 mIoU.
_base_ = [
    "../_base_/datasets/sunrgbd_seg.py",
    "../_base_/schedules/seg_300e.py",
]

model = dict(
    backbone=dict(
        arch="b3",
        drop_path_rate=0.4,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/mit_b3_imagenet.pth"),
    )
)
auto_scale_lr = dict(enable=False, base_batch_size=8)
default_hooks = dict(optimizer_restart=dict(type="OptimizerRestartHook", epochs=(100, 200)))

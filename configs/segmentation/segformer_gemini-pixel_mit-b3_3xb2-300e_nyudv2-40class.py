# MiT-B3 on NYUDv2; published: 56.8 mIoU.
_base_ = [
    "../_base_/datasets/nyudv2_seg.py",
    "../_base_/schedules/seg_300e.py",
]

model = dict(
    backbone=dict(
        arch="b3",
        drop_path_rate=0.4,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/mit_b3_imagenet.pth"),
    )
)
auto_scale_lr = dict(enable=False, base_batch_size=6)
default_hooks = dict(optimizer_restart=dict(type="OptimizerRestartHook", epochs=(100, 200)))

# Swin-T on NYUDv2; published: 52.2 mIoU.
_base_ = [
    "../_base_/datasets/nyudv2_seg.py",
    "../_base_/schedules/seg_300e.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        type="GeminiSwin",
        arch="tiny",
        window_size=7,
        operator=dict(type="GeminiFusion", num_heads=8),
        drop_path_rate=0.2,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_tiny_window7_imagenet.pth"),
    )
)
auto_scale_lr = dict(enable=False, base_batch_size=6)
default_hooks = dict(optimizer_restart=dict(type="OptimizerRestartHook", epochs=(100, 200)))

# Swin-S on NYUDv2; published: 55.0 mIoU.
_base_ = [
    "../_base_/datasets/nyudv2_seg.py",
    "../_base_/schedules/seg_300e.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        type="GeminiSwin",
        arch="small",
        window_size=7,
        operator=dict(type="GeminiFusion", num_heads=8),
        drop_path_rate=0.4,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_small_window7_imagenet.pth"),
    )
)
auto_scale_lr = dict(base_batch_size=6)

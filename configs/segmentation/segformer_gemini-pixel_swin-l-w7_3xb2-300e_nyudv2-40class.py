# Swin-L, window 7, on NYUDv2; published: 58.8 mIoU.
_base_ = [
    "../_base_/datasets/nyudv2_seg.py",
    "../_base_/schedules/seg_300e.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        type="GeminiSwin",
        arch="large",
        window_size=7,
        operator=dict(type="GeminiFusion", num_heads=8),
        drop_path_rate=0.4,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_large_window7_224_22k.pth"),
    )
)
auto_scale_lr = dict(base_batch_size=6)

# Swin-L, window 12, on SUN RGB-D; published: 54.6 (paper), 54.8 (readme) mIoU.
_base_ = [
    "../_base_/datasets/sunrgbd_seg.py",
    "../_base_/schedules/seg_300e.py",
]

model = dict(
    backbone=dict(
        _delete_=True,
        type="GeminiSwin",
        arch="large",
        window_size=12,
        operator=dict(type="GeminiFusion", num_heads=8),
        drop_path_rate=0.2,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_large_window12_384_22k.pth"),
    )
)
auto_scale_lr = dict(base_batch_size=8)

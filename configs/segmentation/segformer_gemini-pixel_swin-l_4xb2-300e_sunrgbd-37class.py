# Swin-L, window 12, on SUN RGB-D; published: 54.6 (paper), 54.8 (readme) mIoU.
_base_ = ["segformer_gemini-pixel_swin-t_4xb2-300e_sunrgbd-37class.py"]

model = dict(
    backbone=dict(
        arch="large",
        window_size=12,
        init_cfg=dict(checkpoint="checkpoints/swin_large_window12_384_22k.pth"),
    )
)

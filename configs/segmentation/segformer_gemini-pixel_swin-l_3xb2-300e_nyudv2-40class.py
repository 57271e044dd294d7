# Swin-L, window 12, on NYUDv2; published: 60.2 mIoU.
_base_ = ["segformer_gemini-pixel_swin-t_3xb2-300e_nyudv2-40class.py"]

model = dict(
    backbone=dict(
        arch="large",
        window_size=12,
        init_cfg=dict(checkpoint="checkpoints/swin_large_window12_384_22k.pth"),
    )
)

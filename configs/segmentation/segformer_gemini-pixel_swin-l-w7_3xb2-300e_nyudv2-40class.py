# Swin-L, window 7, on NYUDv2; published: 58.8 mIoU.
_base_ = ["segformer_gemini-pixel_swin-t_3xb2-300e_nyudv2-40class.py"]

model = dict(
    backbone=dict(
        arch="large",
        drop_path_rate=0.4,
        init_cfg=dict(checkpoint="checkpoints/swin_large_window7_224_22k.pth"),
    )
)

# Swin-S on NYUDv2; published: 55.0 mIoU.
_base_ = ["segformer_gemini-pixel_swin-t_3xb2-300e_nyudv2-40class.py"]

model = dict(
    backbone=dict(
        arch="small",
        drop_path_rate=0.4,
        init_cfg=dict(checkpoint="checkpoints/swin_small_window7_imagenet.pth"),
    )
)

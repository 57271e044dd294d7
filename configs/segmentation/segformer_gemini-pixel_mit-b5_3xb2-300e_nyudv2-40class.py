# MiT-B5 on NYUDv2; published: 57.7 mIoU.
_base_ = ["segformer_gemini-pixel_mit-b3_3xb2-300e_nyudv2-40class.py"]

model = dict(
    backbone=dict(
        arch="b5",
        drop_path_rate=0.35,
        init_cfg=dict(checkpoint="checkpoints/mit_b5_imagenet.pth"),
    )
)

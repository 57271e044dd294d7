# MiT-B4 on NYUDv2; published as a point of a plot only, slightly above 56.9 mIoU.
_base_ = ["segformer_gemini-pixel_mit-b3_3xb2-300e_nyudv2-40class.py"]

model = dict(
    backbone=dict(arch="b4", init_cfg=dict(checkpoint="checkpoints/mit_b4_imagenet.pth")),
)

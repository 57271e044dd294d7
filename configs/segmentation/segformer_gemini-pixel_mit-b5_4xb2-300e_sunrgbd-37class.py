# MiT-B5 on SUN RGB-D; published: 53.3 mIoU.
_base_ = ["segformer_gemini-pixel_mit-b3_4xb2-300e_sunrgbd-37class.py"]

model = dict(
    backbone=dict(
        arch="b5",
        drop_path_rate=0.35,
        init_cfg=dict(checkpoint="checkpoints/mit_b5_imagenet.pth"),
    )
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))

# Swin-L, window 12, on NYUDv2, started from the SUN RGB-D model without its classifier; published:
# 60.9 mIoU. Write the start with
#   gemini-det3d convert-checkpoint <SUN RGB-D model> checkpoints/swin_large_sunrgbd.pth \
#       --without decode_head.classify
# of the released model; of one trained here with --as-is behind it.
_base_ = ["segformer_gemini-pixel_swin-l_3xb2-300e_nyudv2-40class.py"]

model = dict(backbone=dict(drop_path_rate=0.15, init_cfg=None))
load_from = "checkpoints/swin_large_sunrgbd.pth"
param_scheduler = [
    dict(
        type="StagedPolyLR",
        stage_lengths=(100, 200, 100),
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
default_hooks = dict(
    optimizer_restart=dict(epochs=(100, 300)),
    checked_loading=dict(starts_anew=["decode_head.classify"]),
)
train_cfg = dict(max_epochs=400)

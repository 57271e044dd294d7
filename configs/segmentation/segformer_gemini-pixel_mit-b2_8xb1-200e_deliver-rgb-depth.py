# DeLiVER, RGB and depth; published: 66.4 mIoU (val).
_base_ = ["segformer_gemini-pixel_mit-b2_8xb1-200e_deliver-25class.py"]

modalities = ["rgb", "depth"]
model = dict(
    modalities=modalities,
    data_preprocessor=dict(modalities=dict(_delete_=True, rgb={{_base_.rgb_scale}}, depth=dict())),
    backbone=dict(drop_path_rate=0.4),
)
train_dataloader = dict(dataset=dict(modalities=modalities))
val_dataloader = dict(dataset=dict(modalities=modalities))
test_dataloader = val_dataloader

# DeLiVER, RGB and LiDAR; published: 58.6 mIoU (val).
_base_ = ["segformer_gemini-pixel_mit-b2_8xb1-200e_deliver-rgb-depth.py"]

modalities = ["rgb", "lidar"]
model = dict(
    modalities=modalities,
    data_preprocessor=dict(modalities=dict(_delete_=True, rgb={{_base_.rgb_scale}}, lidar=dict())),
)
train_dataloader = dict(dataset=dict(modalities=modalities))
val_dataloader = dict(dataset=dict(modalities=modalities))
test_dataloader = val_dataloader

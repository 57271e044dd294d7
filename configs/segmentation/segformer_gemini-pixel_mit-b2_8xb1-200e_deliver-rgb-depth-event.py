# DeLiVER, RGB, depth and events; published: 65.4 mIoU (val).
_base_ = ["segformer_gemini-pixel_mit-b2_8xb1-200e_deliver-25class.py"]

modalities = ["rgb", "depth", "event"]
model = dict(
    modalities=modalities,
    data_preprocessor=dict(
        modalities=dict(_delete_=True, rgb={{_base_.rgb_scale}}, depth=dict(), event=dict())
    ),
)
train_dataloader = dict(dataset=dict(modalities=modalities))
val_dataloader = dict(dataset=dict(modalities=modalities))
test_dataloader = val_dataloader

# The toy segmentor with two sensors, RGB and depth: a token and its twin, no hub.
_base_ = ["segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class.py"]

modalities = ["rgb", "depth"]
model = dict(
    modalities=modalities,
    data_preprocessor=dict(modalities=dict(_delete_=True, rgb={{_base_.rgb_scale}}, depth=dict())),
)
train_dataloader = dict(dataset=dict(modalities=modalities))
val_dataloader = dict(dataset=dict(modalities=modalities))
test_dataloader = val_dataloader

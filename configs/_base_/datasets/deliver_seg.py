# DeLiVER: 3983 + 2005 (val) + 1897 (test) frames of 1042 x 1042, 25 classes, five weathers; RGB,
# depth (as HHA), events, LiDAR. Augmentation and evaluation as released, on the val split.
_base_ = ["../segmentor.py"]

data_root = "data/DELIVER/"
modalities = ["rgb", "depth", "event", "lidar"]
dataset = dict(type="DELIVERSegDataset", data_root=data_root, modalities=modalities)
train_pipeline = [
    dict(type="LoadModalities", on_size_mismatch="resize"),
    dict(type="LoadSegLabels"),
    dict(type="SegColorJitter", prob=0.2, factors=(0.5, 1.5)),
    dict(type="AlignedFlip", prob=0.5),
    dict(type="SegBlur", prob=0.2),
    dict(type="SegRandomResizedCrop", crop_size=(1024, 1024), factors=(0.5, 2.0)),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadModalities", on_size_mismatch="resize"),
    dict(type="LoadSegLabels"),
    dict(type="SegResize", short_side=1024, divisor=32, with_labels=True),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=1, dataset=dict(**dataset, split="train", pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=4, dataset=dict(**dataset, split="val", pipeline=test_pipeline, test_mode=True)
)
test_dataloader = val_dataloader
model = dict(
    modalities=modalities,
    data_preprocessor=dict(
        modalities=dict(rgb={{_base_.rgb_scale}}, depth=dict(), event=dict(), lidar=dict())
    ),
    decode_head=dict(num_classes=25, embed_dim=512),
    loss=dict(type="OhemCrossEntropy", threshold=0.7, min_share=1 / 16),
    test_cfg=dict(rescale=False),
)

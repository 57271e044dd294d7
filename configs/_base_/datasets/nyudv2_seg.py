# NYUDv2: 795 + 654 frames of 480 x 640, 40 classes; lists train.txt and val.txt (RGB, labels,
# depth). Augmentation and evaluation as released: scores are taken at the resized size.
_base_ = ["../segmentor.py"]

data_root = "data/nyudv2/"
modalities = ["rgb", "depth"]
dataset = dict(type="NYUDv2SegDataset", data_root=data_root, modalities=modalities)
train_pipeline = [
    dict(type="LoadModalities"),
    dict(type="LoadSegLabels"),
    dict(type="SegColorJitter", prob=0.2, factors=(0.5, 1.5)),
    dict(type="AlignedFlip", prob=0.5),
    dict(type="SegBlur", prob=0.2),
    dict(type="SegRandomResizedCrop", crop_size=(480, 640), short_side=480, factors=(0.5, 2.0)),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadModalities"),
    dict(type="LoadSegLabels"),
    dict(type="SegResize", short_side=480, divisor=32, with_labels=True),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=2, dataset=dict(**dataset, split="train", pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=1, dataset=dict(**dataset, split="val", pipeline=test_pipeline, test_mode=True)
)
test_dataloader = val_dataloader
model = dict(
    decode_head=dict(num_classes=40, norm_eval=True),
    test_cfg=dict(rescale=False, resize="bicubic"),
)

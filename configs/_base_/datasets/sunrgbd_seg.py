# SUN RGB-D: 5285 + 5050 frames, 37 classes; folders RGB, labels, Depth, lists train.txt, test.txt.
# Augmentation and evaluation as released: scores are taken at the resized size.
_base_ = ["../segmentor.py"]

data_root = "data/sunrgbd_seg/"
modalities = ["rgb", "depth"]
dataset = dict(type="SUNRGBDSegDataset", data_root=data_root, modalities=modalities)
train_pipeline = [
    dict(type="LoadModalities"),
    dict(type="LoadSegLabels"),
    dict(type="SegColorJitter", prob=0.2, factors=(0.5, 1.5)),
    dict(type="AlignedFlip", prob=0.5),
    dict(type="SegBlur", prob=0.2),
    dict(type="SegRandomResizedCrop", crop_size=(480, 480), short_side=480, factors=(0.5, 2.0)),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadModalities"),
    dict(type="LoadSegLabels"),
    dict(type="SegResize", short_side=480, divisor=32, with_labels=True),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**dataset, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, split="test", pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="SegmentationMetric")
test_evaluator = val_evaluator
model = dict(
    decode_head=dict(num_classes=37, norm_eval=True),
    test_cfg=dict(rescale=False, resize="bicubic"),
)

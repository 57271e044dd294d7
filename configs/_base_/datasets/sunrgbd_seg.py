# SUN RGB-D: 5285 + 5050 frames, 37 classes; folders RGB, labels, Depth, lists train.txt, test.txt.
# Augmentation and evaluation as released: as NYUDv2's, but for square crops.
_base_ = ["nyudv2_seg.py"]

data_root = "data/sunrgbd_seg/"
dataset = dict(type="SUNRGBDSegDataset", data_root=data_root)
train_pipeline = [
    dict(step, crop_size=(480, 480)) if step["type"] == "SegRandomResizedCrop" else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, split="test"))
test_dataloader = val_dataloader
model = dict(decode_head=dict(num_classes=37))

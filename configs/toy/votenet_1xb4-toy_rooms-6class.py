# The same without the image: what points alone can tell.
_base_ = ["votenet_gemini-point_r18_1xb4-toy_rooms-6class.py"]

model = dict(img_backbone=None, img_neck=None, fusion_layer=None)

train_pipeline = _base_.train_pipeline
train_pipeline = [train_pipeline[0], train_pipeline[2], *train_pipeline[4:]]  # without the image
train_pipeline[-1]["keys"] = ["points", "gt_bboxes_3d", "gt_labels_3d"]
test_pipeline = _base_.test_pipeline
test_pipeline = [test_pipeline[0], *test_pipeline[2:]]
test_pipeline[1].transforms = test_pipeline[1].transforms[1:]
test_pipeline[-1]["keys"] = ["points"]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

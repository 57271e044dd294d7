# The twin without a camera: the same detector, data and schedule.
_base_ = ["mvxnet_gemini-point_r18_1xb2-toy_look-alikes-3class.py"]

model = dict(img_backbone=None, img_neck=None, pts_voxel_encoder=dict(fusion_layer=None))

# pictures are drawn on the image where there is one; mmdet3d's LiDAR inferencer has none
test_pipeline = _base_.test_pipeline
test_pipeline[1].needs_image = False
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# The twin without a camera: the same detector, data and schedule.
_base_ = ["mvxnet_gemini-point_r18_1xb2-toy_look-alikes-3class.py"]

model = dict(img_backbone=None, img_neck=None, pts_voxel_encoder=dict(fusion_layer=None))

# The twin without a camera: the same detector, data and schedule.
_base_ = ["bev_gemini-map_r18_1xb2-toy_scenes-3class.py"]

model = dict(img_backbone=None, img_neck=None, view_transform=None, pts_fusion_layer=None)

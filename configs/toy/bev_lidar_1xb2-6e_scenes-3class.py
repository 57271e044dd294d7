# The same without the camera: what the LiDAR alone can do, with the same data and schedule.
_base_ = ["bev_gemini-map_r18_1xb2-6e_scenes-3class.py"]

model = dict(img_backbone=None, img_neck=None, view_transform=None, pts_fusion_layer=None)

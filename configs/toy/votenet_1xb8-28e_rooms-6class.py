# The same without the image: what points alone can tell.
_base_ = ["votenet_gemini-point_r18_1xb8-28e_rooms-6class.py"]

model = dict(img_backbone=None, img_neck=None, fusion_layer=None)

# MVX-Net as mmdet3d publishes it: the baseline that GeminiFusion is compared with. Its published
# checkpoint loads unchanged.
_base_ = ["../_base_/mvxnet_kitti.py"]

# VoteNet as mmdet3d publishes it, points only: the baseline of the fused detector. Its published
# checkpoint loads unchanged.
_base_ = ["../_base_/votenet_sunrgbd.py"]

model = dict(data_preprocessor=dict(type="Det3DDataPreprocessor"))

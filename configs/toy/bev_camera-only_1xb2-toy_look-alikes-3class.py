# The twin without a LiDAR: the same detector, data and schedule; in training the LiDAR's points say
# how far it is, in a test nothing does.
_base_ = ["bev_gemini-map_r18_1xb2-toy_look-alikes-3class.py"]

model = dict(
    data_preprocessor=dict(voxel=False),
    view_transform=dict(with_lidar_depth=False, depth_loss_weight=1.0),
    pts_voxel_encoder=None,
    pts_middle_encoder=None,
    pts_stem=None,
    pts_fusion_layer=None,
)

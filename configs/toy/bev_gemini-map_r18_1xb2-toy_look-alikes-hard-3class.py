# The harder look-alikes: paints that are close or differ in their pattern, up to 38 m away, in
# images of twice the size. Pillars of 0.24 m, maps at 0.48 m.
#   gemini-det3d make-scenes data/look_alikes_hard --preset look-alikes-hard --train 320 --val 80
#   gemini-det3d prepare kitti data/look_alikes_hard --classes Car Truck Tram
_base_ = ["bev_gemini-map_r18_1xb2-toy_look-alikes-3class.py"]

data_root = "data/look_alikes_hard/"
image_size = (621, 188)
pillar_size = [0.24, 0.24, 4]
point_cloud_range = [0, -20.16, -3, 40.32, 20.16, 1]

# what differs in each step of the pipelines, by its type
changes = dict(
    Resize=dict(scale=image_size),
    PointsRangeFilter=dict(point_cloud_range=point_cloud_range),
    ObjectRangeFilter=dict(point_cloud_range=point_cloud_range),
)
train_pipeline = [dict(step, **changes.get(step["type"], {})) for step in _base_.train_pipeline]
test_steps = _base_.test_pipeline[3]["transforms"]
test_pipeline = [
    *_base_.test_pipeline[:3],
    dict(
        _base_.test_pipeline[3],
        img_scale=image_size,
        transforms=[
            test_steps[0],  # its size is img_scale
            *[dict(step, **changes.get(step["type"], {})) for step in test_steps[1:]],
        ],
    ),
    *_base_.test_pipeline[4:],
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "kitti_infos_val.pkl")
test_evaluator = val_evaluator

model = dict(
    data_preprocessor=dict(
        voxel_layer=dict(point_cloud_range=point_cloud_range, voxel_size=pillar_size)
    ),
    view_transform=dict(
        point_cloud_range=point_cloud_range, cell_size_m=[0.48, 0.48], depth_m=[2, 43, 0.5]
    ),
    pts_voxel_encoder=dict(voxel_size=pillar_size, point_cloud_range=point_cloud_range),
    pts_middle_encoder=dict(output_shape=[168, 168]),
    pts_bbox_head=dict(
        anchor_generator=dict(ranges=[[0, -20.16, -1.73, 40.32, 20.16, -1.73]]),
    ),
)

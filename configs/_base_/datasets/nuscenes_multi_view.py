# nuScenes with ten sweeps (the key frame's and nine before it) and six cameras. Each image is moved
# on its own, then the whole scene; the metadata say how, as matrices.
dataset_type = "NuScenesDataset"
data_root = "data/nuscenes/"
class_names = [
    "car",
    "truck",
    "construction_vehicle",
    "bus",
    "trailer",
    "barrier",
    "motorcycle",
    "bicycle",
    "pedestrian",
    "traffic_cone",
]
point_cloud_range = [-51.2, -51.2, -5.0, 51.2, 51.2, 3.0]
image_size = (704, 256)
# nuScenes counts pixels from their centres, gemini_det3d.geometry from the image's edge.
pixel_offset = (0.5, 0.5)
data_prefix = dict(
    pts="samples/LIDAR_TOP",
    sweeps="sweeps/LIDAR_TOP",
    CAM_FRONT="samples/CAM_FRONT",
    CAM_FRONT_LEFT="samples/CAM_FRONT_LEFT",
    CAM_FRONT_RIGHT="samples/CAM_FRONT_RIGHT",
    CAM_BACK="samples/CAM_BACK",
    CAM_BACK_LEFT="samples/CAM_BACK_LEFT",
    CAM_BACK_RIGHT="samples/CAM_BACK_RIGHT",
)
modality = dict(use_lidar=True, use_camera=True)

train_pipeline = [
    dict(
        type="LoadPointsFromFile", _scope_="gemini_det3d", coord_type="LIDAR", load_dim=5, use_dim=5
    ),
    dict(
        type="LoadPointsFromMultiSweeps",
        _scope_="gemini_det3d",
        sweeps_num=9,
        use_dim=[0, 1, 2, 3, 4],
        pad_empty_sweeps=True,
        remove_close=True,
    ),
    dict(type="LoadMultiViewImages"),
    dict(type="LoadAnnotations3D", with_bbox_3d=True, with_label_3d=True),
    dict(
        type="MultiViewImageAug",
        size=image_size,
        resize=[0.86, 1.25],
        crop_x=[0.0, 1.0],
        flip=0.5,
        rotate_deg=[-5.4, 5.4],
    ),
    dict(
        type="GlobalRotScaleTrans",
        rot_range=[-0.785, 0.785],
        scale_ratio_range=[0.9, 1.1],
        translation_std=[0.5, 0.5, 0.5],
    ),
    dict(
        type="RandomFlip3D",
        sync_2d=False,
        flip_ratio_bev_horizontal=0.5,
        flip_ratio_bev_vertical=0.5,
    ),
    dict(type="PointsRangeFilter", point_cloud_range=point_cloud_range),
    dict(type="ObjectRangeFilter", point_cloud_range=point_cloud_range),
    dict(type="ObjectNameFilter", classes=class_names),
    dict(type="PointShuffle"),
    dict(type="PackSensorInputs", keys=["points", "img", "gt_bboxes_3d", "gt_labels_3d"]),
]
test_pipeline = [
    dict(
        type="LoadPointsFromFile", _scope_="gemini_det3d", coord_type="LIDAR", load_dim=5, use_dim=5
    ),
    dict(
        type="LoadPointsFromMultiSweeps",
        _scope_="gemini_det3d",
        sweeps_num=9,
        use_dim=[0, 1, 2, 3, 4],
        pad_empty_sweeps=True,
        remove_close=True,
        test_mode=True,
    ),
    dict(type="LoadMultiViewImages"),
    dict(type="MultiViewImageAug", size=image_size),
    dict(type="RandomFlip3D", sync_2d=False),  # never flips, but says so
    dict(type="PointsRangeFilter", point_cloud_range=point_cloud_range),
    dict(type="PackSensorInputs", keys=["points", "img"]),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="nuscenes_infos_train.pkl",
        pipeline=train_pipeline,
        metainfo=dict(classes=class_names),
        modality=modality,
        data_prefix=data_prefix,
        test_mode=False,
        use_valid_flag=True,
        box_type_3d="LiDAR",
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="nuscenes_infos_val.pkl",
        pipeline=test_pipeline,
        metainfo=dict(classes=class_names),
        modality=modality,
        data_prefix=data_prefix,
        test_mode=True,
        box_type_3d="LiDAR",
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="NuScenesMetric",
    data_root=data_root,
    ann_file=data_root + "nuscenes_infos_val.pkl",
    metric="bbox",
)
test_evaluator = val_evaluator

# mmdet3d's MVX-Net for KITTI with its parts replaced, name by name, by twins that compute the same
# on any device, do not break on empty frames and name a bad file, and with the plug-in's KITTI
# metric. No number of the recipe changes here.
_base_ = ["mmdet3d::mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py", "plugin.py"]

# KITTI counts pixels from their centres, gemini_det3d.geometry from the image's edge. mmdet3d and
# the released detector take no notice, so configs that repeat their numbers do not use it.
pixel_offset = (0.5, 0.5)

model = dict(
    type="GeminiMVXNet",
    data_preprocessor=dict(non_blocking=True),
    pts_voxel_encoder=dict(type="GeminiDynamicVFE", fuse_at="last"),
    pts_middle_encoder=dict(type="GeminiSparseEncoder"),
    pts_bbox_head=dict(type="GeminiAnchor3DHead"),
)

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
# Twins of mmdet3d's steps: loaders that name a bad file, and the same samples in less time.
twins = ["LoadPointsFromFile", "LoadImageFromFile", "GlobalRotScaleTrans", "PointsRangeFilter",
         "ObjectRangeFilter", "PointShuffle", "Pack3DDetInputs"]  # fmt: skip
for step in (*train_pipeline, *test_pipeline):
    if step["type"] in twins:
        step["_scope_"] = "gemini_det3d"
del step, twins

train_dataloader = dict(dataset=dict(dataset=dict(_scope_="gemini_det3d", pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

val_evaluator = dict(type="KittiDetectionMetric")
test_evaluator = val_evaluator

# The learning rate follows the batch (unscaled, a single GPU's loss becomes NaN), and a run that
# was cut off goes on with --resume.
auto_scale_lr = dict(enable=True)
default_hooks = dict(
    # the published start has the image branch alone
    checked_loading=dict(type="CheckedLoadingHook", starts_anew=["pts_"]),
    checkpoint=dict(interval=1, max_keep_ckpts=2),
)

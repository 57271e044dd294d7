# The segmentor and how it is trained and tested; data set and schedule come from other files.
# Encoders start from ImageNet files, converted once, for example
#   gemini-det3d convert-checkpoint mit_b3.pth checkpoints/mit_b3_imagenet.pth --modalities 2
# (--modalities: as many as the model has). Memory: backbone.with_checkpoint=True recomputes
# activations in the backward, autocast_dtype="bfloat16" computes in half the width.
_base_ = ["plugin.py"]

default_scope = "mmdet3d"
rgb_scale = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

model = dict(
    type="FusionSegmentor",
    modalities=["rgb", "depth"],
    data_preprocessor=dict(
        type="ModalityPreprocessor",
        modalities=dict(rgb=rgb_scale, depth=dict()),
        size_divisor=32,
        non_blocking=True,
    ),
    backbone=dict(
        type="GeminiMiT",
        arch="b3",
        operator=dict(type="GeminiFusion", num_heads=8),
        drop_path_rate=0.4,
    ),
    decode_head=dict(type="SegFormerMLPHead", embed_dim=256, dropout=0.1),
    loss=dict(type="PixelCrossEntropy"),
    test_cfg=dict(mode="whole"),
)

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
)
val_dataloader = dict(
    num_workers=4, persistent_workers=True, sampler=dict(type="DefaultSampler", shuffle=False)
)
test_dataloader = val_dataloader
val_evaluator = dict(type="SegmentationMetric")
test_evaluator = val_evaluator

default_hooks = dict(
    checked_loading=dict(type="CheckedLoadingHook"),
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook", interval=5, max_keep_ckpts=2, save_best="seg/mIoU", rule="greater"
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

# Translation on Taskonomy after the protocol of TokenFusion: 1000 views for training and 500 for
# validation, 286 -> random crop of 256, flip; Adam 2e-4 per view of the batch, no decay, 300 epochs
# of batch 1; adversarial + 100 x L1. A config of a task names sources and target.
_base_ = ["mmdet3d::_base_/default_runtime.py", "plugin.py"]
# Generator and discriminator are wrapped apart: each has an optimiser and steps of its own.
model_wrapper_cfg = dict(
    _delete_=True,
    type="MMSeparateDistributedDataParallel",
    device_ids=None,
    broadcast_buffers=False,
)

model = dict(
    type="GeminiTranslator",
    generator=dict(
        type="MiTGenerator",
        arch="small",
        num_sources=2,
        operator=dict(type="GeminiFusion", num_heads=8),
        fuse_at="stage_ends",
    ),
    discriminator=dict(type="MiTPatchDiscriminator", arch="small"),
    adversarial_loss=dict(type="AdversarialLoss", kind="cross_entropy"),
    l1_weight=100.0,
    data_preprocessor=dict(type="TranslationPreprocessor", non_blocking=True),
)

# data: train.txt and val.txt list views, one a line; the folders of the domains lie beside them
dataset_type = "TaskonomyDataset"
data_root = "data/taskonomy/"
train_pipeline = [
    dict(type="LoadDomainImages"),
    dict(type="ResizeDomainImages", size=286),
    dict(type="RandomCropDomainImages", size=256),
    dict(type="AlignedFlip", prob=0.5),
    dict(type="PackTranslationInputs"),
]
test_pipeline = [
    dict(type="LoadDomainImages"),
    dict(type="ResizeDomainImages", size=256),
    dict(type="PackTranslationInputs"),
]
train_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="train.txt",
        num_views=1000,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="val.txt",
        num_views=500,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
# Figures like the published ones need the FID Inception and the protocol's stretch:
#   extractor=dict(type="InceptionFeatures", weights="weights-inception-2015-12-05-....pth"),
#   stretch_images=True
val_evaluator = dict(type="TranslationMetric", extractor=dict(type="FilterBankFeatures"))
test_evaluator = val_evaluator

# schedule
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="ModuleOptimWrapperConstructor",
    optimizer=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999)),
    modules=dict(generator=dict(), discriminator=dict()),
)
auto_scale_lr = dict(enable=False, base_batch_size=1)  # --auto-scale-lr for larger batches
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=300, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    checked_loading=dict(type="CheckedLoadingHook"),
    checkpoint=dict(interval=5, max_keep_ckpts=3),
    # rows of sources, translation and truth in vis_data/vis_image of the run's folder
    pictures=dict(type="TranslationPictureHook", interval=1000),
)

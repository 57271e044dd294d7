# The translation protocol made small: a narrow generator of four stages on 64 x 64 pixels of views
# that `gemini-det3d make-views` wrote; minutes on one CPU core.
_base_ = ["translation_taskonomy.py"]

model = dict(
    generator=dict(
        arch=None,
        dims=(32, 48, 64, 96),
        depths=(1, 1, 1, 1),
        num_heads=(2, 3, 4, 4),
        sr_ratios=(8, 4, 2, 1),
        mlp_ratio=2,
        # narrow and trained from nothing: MiT's own start is for wide, pretrained encoders
        linear_std=0.15,
        norm_std=0.5,
        operator=dict(num_heads=4),
        # on normed maps: what untrained attention reads is nearly the same in all pixels
        fuse_at="stage_outputs",
    ),
    # a map of 8 x 8 patches, as the protocol's
    discriminator=dict(
        arch=None,
        dims=(8, 16, 32),
        depths=(1, 1, 1),
        num_heads=(1, 2, 4),
        sr_ratios=(4, 2, 1),
        mlp_ratio=2,
    ),
)

data_root = "data/views/"
train_pipeline = [
    dict(type="LoadDomainImages"),
    dict(type="ResizeDomainImages", size=72),
    dict(type="RandomCropDomainImages", size=64),
    dict(type="AlignedFlip", prob=0.5, turn_normals=True),
    dict(type="PackTranslationInputs"),
]
test_pipeline = [
    dict(type="LoadDomainImages"),
    dict(type="ResizeDomainImages", size=64),
    dict(type="PackTranslationInputs"),
]
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=2,
    **loader,
    dataset=dict(data_root=data_root, num_views=None, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    **loader,
    dataset=dict(data_root=data_root, num_views=None, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

# schedule: one rise and one fall of the learning rate; tested at the end
max_epochs = 8
optim_wrapper = dict(
    optimizer=dict(fused=True),  # one call for all parameters: a tenth of so small a step
    modules=dict(
        # few steps need large ones; the norm is that of 100 x L1
        generator=dict(optimizer=dict(lr=4e-3, betas=(0.9, 0.99)), clip_grad=dict(max_norm=100.0)),
        discriminator=dict(optimizer=dict(lr=2e-4)),
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, end=1, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        begin=1,
        end=max_epochs,
        T_max=max_epochs - 1,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=2)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=1),
    logger=dict(interval=20),
    pictures=dict(type="TranslationPictureHook", interval=300),
)

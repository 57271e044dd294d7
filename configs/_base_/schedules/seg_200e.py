# DeLiVER: 200 epochs, ten of them to rise, then down as a polynomial; tested in the second half.
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="FlatDecayOptimWrapperConstructor",  # no decay for biases and norms, as released
    optimizer=dict(type="AdamW", lr=2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={"decode_head": dict(lr_mult=10.0)}),
)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=0.1,
        begin=0,
        end=10,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type="PolyLR",
        power=0.9,
        eta_min=0.0,
        begin=10,
        end=201,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=200, val_begin=101, val_interval=1)
randomness = dict(seed=3407)

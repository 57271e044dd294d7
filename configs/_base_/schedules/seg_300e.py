# Three stages of 100 epochs; each starts anew with half the rate (see engine/staged.py), and with
# a new optimiser: default_hooks = dict(optimizer_restart=...) in the configs that use it. The
# weights of the ensemble are in no group of the released optimiser: they keep their start.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=6e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={
            "norm": dict(decay_mult=0.0),
            "decode_head": dict(lr_mult=10.0),
            "ensemble": dict(lr_mult=0.0, decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(
        type="StagedPolyLR",
        stage_lengths=(100, 100, 100),
        stage_factors=(1.0, 0.5, 0.25),
        warmup=1500,
        warmup_ratio=1e-6,
        fall=40_000,
        power=1.0,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=300, val_interval=5)
randomness = dict(seed=42)

# Shade + Texture -> RGB made small: 64 x 64 pixels of the synthetic world, two CPU cores.
_base_ = ["../_base_/translation_views.py"]

task = dict(sources=["reshading", "edge_texture"], target="rgb")
train_dataloader = dict(dataset=task)
val_dataloader = dict(dataset=task)
test_dataloader = val_dataloader

# Shade + Texture -> RGB
_base_ = ["../_base_/translation_taskonomy.py"]

task = dict(sources=["reshading", "edge_texture"], target="rgb")
train_dataloader = dict(dataset=task)
val_dataloader = dict(dataset=task)
test_dataloader = val_dataloader

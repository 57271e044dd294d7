# RGB + Normal -> Shade
_base_ = ["../_base_/translation_taskonomy.py"]

task = dict(sources=["rgb", "normal"], target="reshading")
train_dataloader = dict(dataset=task)
val_dataloader = dict(dataset=task)
test_dataloader = val_dataloader

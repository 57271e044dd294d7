# RGB + Edge -> Depth. Which of the edges and depths were used is not published.
_base_ = ["../_base_/translation_taskonomy.py"]

task = dict(sources=["rgb", "edge_occlusion"], target="depth_euclidean")
train_dataloader = dict(dataset=task)
val_dataloader = dict(dataset=task)
test_dataloader = val_dataloader

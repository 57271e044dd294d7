# Depth + Normal -> RGB. Which of the two depths was used is not published.
_base_ = ["../_base_/translation_taskonomy.py"]

task = dict(sources=["depth_euclidean", "normal"], target="rgb")
train_dataloader = dict(dataset=task)
val_dataloader = dict(dataset=task)
test_dataloader = val_dataloader

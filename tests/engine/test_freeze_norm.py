"""Batch normalisation under running statistics, by mmengine's own loop."""

from __future__ import annotations

import mmdet3d  # noqa: F401  # its scope
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from gemini_det3d.engine.freeze_norm import FreezeNormHook
from gemini_det3d.formats import FormatError


class Normalised(BaseModel):
    """Remembers the mean that its normalisation has after each step."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.means, self.outputs = [], []

    def forward(self, inputs, mode="tensor"):
        inputs = torch.stack(inputs)
        out = self.norm(inputs)
        self.means.append(self.norm.running_mean.clone())
        self.outputs.append((inputs, out.detach().clone(), self.norm.weight.detach().clone()))
        return {"loss": (out - 2).square().mean()}


def _train(tmp_path, begin, **train_cfg):
    torch.manual_seed(0)
    model = Normalised()
    Runner(
        model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            dataset=[{"inputs": torch.randn(3) + 5} for _ in range(14)],
            sampler=dict(type="DefaultSampler", shuffle=False),
            batch_size=7,
        ),
        train_cfg=train_cfg or dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        custom_hooks=[dict(type="FreezeNormHook", begin=begin)],
        default_scope="mmdet3d",
        log_level="ERROR",
        experiment_name=f"freeze_{begin}",
    ).train()
    return model


def test_freeze_norm_keeps_statistics_from_its_epoch_on_and_trains_weights(tmp_path):
    model = _train(tmp_path, begin=1)
    first, second, *rest = model.means
    assert not torch.equal(first, second)
    assert all(torch.equal(second, mean) for mean in rest) and len(rest) == 4
    weights = [weight for _, _, weight in model.outputs]
    assert not torch.equal(weights[-2], weights[-1])
    inputs, out, weight = model.outputs[2]
    scaled = (inputs - second) / (model.norm.running_var + 1e-5).sqrt() * weight
    assert torch.allclose((out - scaled).std(dim=0), torch.zeros(3), atol=1e-5)


def test_freeze_norm_refuses_a_negative_epoch():
    with pytest.raises(ValueError, match="begin=-1"):
        FreezeNormHook(begin=-1)


def test_a_training_that_counts_iterations_would_never_freeze_and_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"train_cfg: counts iterations, .* begin=1 counts epoc"):
        _train(tmp_path, begin=1, by_epoch=False, max_iters=2)
    first, *rest = _train(tmp_path, begin=0, by_epoch=False, max_iters=2).means
    assert torch.equal(first, torch.zeros(3)) and torch.equal(rest[0], first)

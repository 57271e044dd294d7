"""Hooks of mmdet and mmdet3d that change a data set's pipeline during a training."""

from __future__ import annotations

import copy
import pickle

import mmdet3d.engine.hooks  # noqa: F401
import pytest
import torch
from mmdet.engine.hooks import PipelineSwitchHook  # noqa: F401
from mmdet3d.datasets.transforms import ObjectSample
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, TRANSFORMS
from toy import NO_VALIDATION, OnePart, toy_config, train

from gemini_det3d.engine.exact import SeededDataset


@TRANSFORMS.register_module()
class Mark:
    """A sample that says which pipeline it went through."""

    def __init__(self, value):
        self.value = value

    def __call__(self, results):
        return {"inputs": torch.tensor([self.value, 0, 0, 0]) + torch.rand(4) / 10,
                "index": results["sample_idx"]}  # fmt: skip


@TRANSFORMS.register_module()
class MarksUntilDisabled(ObjectSample):
    """mmdet3d's step, as far as its hook knows it."""

    def __init__(self):
        self.disabled = False

    def __call__(self, results):
        return Mark(9.0 if self.disabled else 1.0)(results)


@DATASETS.register_module()
class Piped(BaseDataset):
    def load_data_list(self):
        return [dict(number=number) for number in range(23)]


HOOKS = {
    "switched": dict(
        type="mmdet.PipelineSwitchHook", switch_epoch=1,
        switch_pipeline=[dict(type="mmengine.Mark", value=9.0)],
    ),
    "disabled": dict(type="mmdet3d.DisableObjectSampleHook", disable_after_epoch=1),
}  # fmt: skip


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", HOOKS)
def test_hook_that_changes_the_pipeline_has_its_effect(tmp_path, monkeypatch, kind, workers):
    seen, forward = [], OnePart.forward

    def sees(self, inputs, index=None, mode="tensor"):
        seen.append(int(torch.stack(list(inputs))[:, 0].mean()))
        return forward(self, inputs, index, mode)

    monkeypatch.setattr(OnePart, "forward", sees)
    config = toy_config(tmp_path, ema=False, workers=workers, **NO_VALIDATION)
    step = dict(type="Mark", value=1.0) if kind == "switched" else dict(type="MarksUntilDisabled")
    config.train_dataloader.dataset = dict(type="Piped", pipeline=[step])
    config.train_dataloader.persistent_workers = workers > 0
    config.custom_hooks = [HOOKS[kind]]
    train(config)
    assert seen == 6 * [1] + 12 * [9]


def test_wrapper_passes_for_its_data_set_and_is_copied_as_a_wrapper():
    inner = Piped(pipeline=[Mark(1.0)])
    wrapper = SeededDataset(inner, "notes")
    assert isinstance(wrapper, BaseDataset) and isinstance(wrapper, SeededDataset)
    for other in (copy.copy(wrapper), copy.deepcopy(wrapper), pickle.loads(pickle.dumps(wrapper))):
        assert type(other) is SeededDataset and other._notes == "notes"
        assert type(other._wrapped) is Piped and len(other) == 23
    wrapper.pipeline = None
    assert inner.pipeline is None

"""Hooks know after a resume what they knew before: of early stopping, and of the first batches."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import DATASETS, HOOKS, MODELS
from mmengine.structures import BaseDataElement, InstanceData
from toy import (
    NO_VALIDATION,
    NoisySamples,
    OnePart,
    differences,
    newest,
    toy_config,
    train,
    train_and_stop,
)

from gemini_det3d.formats import FormatError


def stopping(folder, **options):
    config = toy_config(folder, ema=False, **{"train_cfg.max_epochs": 8})
    config.default_hooks.checkpoint.update(by_epoch=True, interval=1)
    config.custom_hooks = [dict(type="EarlyStoppingHook", monitor="acc", rule="greater", **options)]
    return config


@pytest.fixture
def scores(monkeypatch):
    """Of the validations, in their order."""
    values = [0.5, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]

    def evaluate(self, size):
        self.values = []
        return {"acc": values[MessageHub.get_current_instance().get_info("epoch")]}

    monkeypatch.setattr("toy.MeanValue.evaluate", evaluate)
    return values


def test_early_stopping_counts_from_the_best_validation_after_a_resume(tmp_path, scores):
    whole = train(stopping(tmp_path / "whole", patience=3))
    train_and_stop(stopping(tmp_path / "cut", patience=3), before=14)  # after the best one
    resumed = train(stopping(tmp_path / "cut", patience=3), resume=True)
    assert resumed.epoch == whole.epoch == 5
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "cut")) == []


def test_training_that_was_stopped_by_its_best_validation_stays_stopped(tmp_path, scores):
    options = dict(patience=3, stopping_threshold=0.8)
    assert train(stopping(tmp_path, **options)).epoch == 2
    assert train(stopping(tmp_path, **options), resume=True).epoch == 2
    config = stopping(tmp_path)
    config.custom_hooks = []
    assert train(config, resume=True).epoch == 8


@HOOKS.register_module()
class CountsValidations(Hook):
    """Puts into checkpoints what it knows of validations, as late as any hook can."""

    priority = "LOWEST"
    count = 0

    def after_val_epoch(self, runner, metrics=None):
        self.count += 1

    def before_save_checkpoint(self, runner, checkpoint):
        checkpoint["validations"] = self.count


def test_best_checkpoint_knows_what_all_hooks_made_of_the_validation(tmp_path, scores):
    config = stopping(tmp_path)
    config.custom_hooks = [dict(type="CountsValidations")]
    config.train_cfg.max_epochs = 2
    train(config)
    assert newest(tmp_path)["validations"] == 2


@DATASETS.register_module()
class FewBoxes(NoisySamples):
    """Samples of which the listed ones have an object."""

    def __init__(self, full=(), **kwargs):
        super().__init__(size=24, **kwargs)
        self.full = full

    def __getitem__(self, index):
        element = BaseDataElement()
        labels = torch.zeros(int(index in self.full), dtype=torch.long)
        element.gt_instances_3d = InstanceData(labels_3d=labels)
        return {**super().__getitem__(index), "data_samples": element}


@MODELS.register_module()
class TakesBoxes(OnePart):
    def forward(self, inputs, index=None, data_samples=None, mode="tensor"):
        return super().forward(inputs, index, mode)


def of_boxes(folder, full, **changes):
    config = toy_config(folder, ema=False, **NO_VALIDATION, **changes)
    config.default_hooks.checkpoint.interval = 1
    config.model.type = "TakesBoxes"
    config.train_dataloader.update(collate_fn=dict(type="pseudo_collate"))
    config.train_dataloader.dataset = dict(type="FewBoxes", full=full)
    return config


def first_frames(folder):
    """Of the first of six batches."""
    text = (folder / "sample_order" / "pass_0000_rank_0.txt").read_text()
    return [int(word) for word in text.splitlines()[0].split()]


def test_end_of_an_epoch_without_objects_does_not_stop_a_resumed_run(tmp_path):
    train(of_boxes(tmp_path / "order", full=range(24)))
    full = first_frames(tmp_path / "order")
    train_and_stop(of_boxes(tmp_path / "cut", full), before=5)
    assert train(of_boxes(tmp_path / "cut", full), resume=True).iter == 18
    # of a checkpoint that does not tell what was seen
    train_and_stop(of_boxes(tmp_path / "old", full), before=5)
    path = tmp_path / "old" / "iter_5.pth"
    checkpoint = newest(tmp_path / "old")
    checkpoint["exact_state"]["hooks"] = []
    path.with_name("iter_5.pth.json").unlink()
    torch.save(checkpoint, path)
    named = of_boxes(tmp_path / "old", full, load_from=str(path))
    assert train(named, resume=True).iter == 18


def test_resumed_run_without_any_object_is_told_as_the_whole_one_is(tmp_path):
    with pytest.raises(FormatError, match="the first 6 batches have no label"):
        train(of_boxes(tmp_path / "whole", full=[]))
    train_and_stop(of_boxes(tmp_path / "cut", full=[]), before=4)
    with pytest.raises(FormatError, match="the first 6 batches have no label"):
        train(of_boxes(tmp_path / "cut", full=[]), resume=True)

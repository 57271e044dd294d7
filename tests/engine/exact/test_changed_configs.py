"""What a resumed run makes of a config that is not the one it began with."""

from __future__ import annotations

import pytest
import torch
from toy import NO_VALIDATION, OnePart, newest, toy_config, train, train_and_stop, warnings_of

from gemini_det3d.formats import FormatError


def quick(folder, **changes):
    return toy_config(folder, **{"ema": False, **NO_VALIDATION, **changes})


def to_end_of_training(epochs):
    """A schedule whose end is the training's."""
    return [dict(type="CosineAnnealingLR", T_max=epochs, end=epochs, by_epoch=True,
                 convert_to_iter_based=True)]  # fmt: skip


def told(folder):
    return [line for line in warnings_of(folder) if "a resumed run" in line or "goes on" in line]


@pytest.mark.parametrize("two", [False, True])
def test_schedule_that_the_config_would_change_is_told(tmp_path, two):
    train(quick(tmp_path, two=two, param_scheduler=to_end_of_training(3)))
    longer = {"train_cfg.max_epochs": 4, "param_scheduler": to_end_of_training(4)}
    assert train(quick(tmp_path, two=two, **longer), resume=True).iter == 24
    (line,) = told(tmp_path)
    part = ".generator" if two else ""
    for word in (f"param_scheduler{part}[0].end 18 (config: 24)", "T_max 18 (config: 24)"):
        assert word in line
    assert "iter_18.pth: a resumed run keeps the checkpoint's schedules, not the config's" in line


def test_another_number_of_schedules_is_told(tmp_path):
    train(quick(tmp_path, **{"train_cfg.max_epochs": 1}))
    train(quick(tmp_path, param_scheduler=2 * to_end_of_training(3)), resume=True)
    (line,) = told(tmp_path)
    assert "schedules, not the config's: 1 of them (config: 2)" in line


def test_settings_of_the_optimizer_that_have_no_effect_are_told(tmp_path):
    train_and_stop(quick(tmp_path), before=9)
    changed = dict(type="AdamW", lr=0.01, weight_decay=0.5, betas=(0.5, 0.6))
    train(quick(tmp_path, **{"optim_wrapper.optimizer": changed}), resume=True)
    (line,) = told(tmp_path)
    assert "betas [0.9, 0.999] (config: [0.5, 0.6]), weight_decay 0.01 (config: 0.5)" in line


@pytest.mark.parametrize("two", [False, True])
def test_another_optimizer_of_the_same_kind_is_refused(tmp_path, two):
    train(quick(tmp_path, two=two, **{"train_cfg.max_epochs": 1}))
    config = quick(tmp_path, two=two, **{"optim_wrapper.optimizer": dict(type="Adam", lr=0.01)})
    with pytest.raises(FormatError, match="an optimizer of type AdamW, the config's is Adam: .*"):
        train(config, resume=True)


def test_averages_that_end_are_told(tmp_path):
    train_and_stop(quick(tmp_path, ema=True), before=9)
    train(quick(tmp_path), resume=True)
    (line,) = told(tmp_path)
    assert "without EMAHook goes on from the averaged weights" in line


def test_the_same_config_is_told_nothing(tmp_path):
    train_and_stop(quick(tmp_path, ema=True, two=True), before=9)
    train(quick(tmp_path, ema=True, two=True), resume=True)
    assert told(tmp_path) == []


@pytest.mark.parametrize("batch_size, steps", [(8, 5), (2, 18)])
def test_epoch_with_other_batches_goes_on_at_the_same_share(
    tmp_path, monkeypatch, batch_size, steps
):
    options = {"default_hooks.checkpoint.interval": 1, "train_dataloader.dataset.size": 24}
    train_and_stop(quick(tmp_path, **options), before=9)  # a half of the second of three epochs
    seen, step = [], OnePart.train_step

    def counted(self, data, optim_wrapper):
        seen.append(len(data["inputs"]))
        return step(self, data, optim_wrapper)

    monkeypatch.setattr(OnePart, "train_step", counted)
    options["train_dataloader.batch_size"] = batch_size
    runner = train(quick(tmp_path, **options), resume=True)
    assert seen == steps * [batch_size] and runner.iter == runner.max_iters == 9 + steps
    assert any("batches_per_epoch was 6" in line for line in told(tmp_path))


def test_half_gathered_gradients_of_another_count_are_left_out_and_told(tmp_path):
    train_and_stop(quick(tmp_path, **{"optim_wrapper.accumulative_counts": 3}), before=9)
    assert newest(tmp_path)["exact_state"]["gradients"]
    runner = train(quick(tmp_path, **{"optim_wrapper.accumulative_counts": 2}), resume=True)
    (line,) = told(tmp_path)
    assert "accumulative_counts was 3 and is 2: the gradients gathered so far are left out" in line
    assert runner.iter == 18


def test_gradients_gathered_at_the_end_are_applied_with_several_optimizers_too(tmp_path):
    runner = train(quick(tmp_path, two=True, **{"optim_wrapper.accumulative_counts": 4}))
    assert runner.iter == 18  # no multiple of four
    gradients = [p.grad for p in runner.model.parameters() if p.grad is not None]
    assert all(torch.count_nonzero(gradient) == 0 for gradient in gradients)


def test_run_that_goes_on_with_other_data_says_so(tmp_path, monkeypatch):
    from gemini_det3d.engine.exact import ExactRunner

    said: list[str] = []
    monkeypatch.setattr(ExactRunner, "_warn_inexact", lambda self, reason: said.append(reason))
    config = toy_config(tmp_path)
    config.train_cfg.max_epochs = 1
    train(config)
    config.train_cfg.max_epochs = 2
    train(config, resume=True)
    assert said == []
    config.train_cfg.max_epochs = 3
    config.train_dataloader.dataset.size = 22  # as many batches as before
    train(config, resume=True)
    assert said == ["num_samples was 23 and is 22"]

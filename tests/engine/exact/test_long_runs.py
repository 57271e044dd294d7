"""Long trainings keep to the memory and the file handles that they began with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mmengine.config import config as mmengine_config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from toy import newest, toy_config, train


@HOOKS.register_module()
class ResidentMemory(Hook):
    """Notes pages in memory and open handles."""

    pages: dict = {}
    handles: list = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.handles.append(len(os.listdir("/proc/self/fd")))
        if runner.iter % 100 == 99:
            self.pages[runner.iter + 1] = int(Path("/proc/self/statm").read_text().split()[1])


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")


def seen_in(folder, iterations):
    """Pages of a toy training with two workers by iteration, and open handles early and late.

    Handles are the fewest of the second and of the last hundred steps: how many batches are on
    their way differs by step.
    """
    config = toy_config(folder, by_epoch=False, workers=2, val_cfg=None, val_dataloader=None,
                        val_evaluator=None)  # fmt: skip
    config.train_cfg = dict(by_epoch=False, max_iters=iterations)
    config.default_hooks.checkpoint.update(save_best=None, interval=50)
    config.custom_hooks = [dict(type="ResidentMemory")]
    ResidentMemory.pages, ResidentMemory.handles = {}, []
    train(config)
    handles = ResidentMemory.handles
    assert len(handles) == iterations
    return ResidentMemory.pages, min(handles[100:200]), min(handles[-100:])


@needs_proc
def test_five_hundred_steps_with_workers_leave_no_handle_open(tmp_path):
    _, early, late = seen_in(tmp_path, 500)
    assert late <= early


def test_text_of_the_config_is_laid_out_once_for_all_its_writers(tmp_path, monkeypatch):
    laid_out = []
    monkeypatch.setattr(
        mmengine_config,
        "FormatCode",
        lambda text, **options: (laid_out.append(text), (text, True))[1],
    )
    runner = train(toy_config(tmp_path))  # writes it to its folder, its log and four checkpoints
    assert len(laid_out) == 1
    assert newest(tmp_path)["meta"]["cfg"] == runner.cfg.pretty_text == laid_out[0]
    runner.cfg.model.type = "TwoParts"
    assert "TwoParts" in runner.cfg.pretty_text and len(laid_out) == 2


@pytest.mark.slow
@needs_proc
def test_two_thousand_steps_with_workers_keep_memory_and_handles(tmp_path):
    pages, early, late = seen_in(tmp_path, 2000)
    assert pages[2000] <= 1.02 * pages[200]
    assert late <= early

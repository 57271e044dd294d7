"""Long trainings keep to the memory and the file handles that they began with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from toy import toy_config, train


@HOOKS.register_module()
class ResidentMemory(Hook):
    """Notes pages in memory and open handles."""

    seen: dict = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter % 100 == 99:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.seen[runner.iter + 1] = pages, len(os.listdir("/proc/self/fd"))


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")


def seen_in(folder, iterations):
    """Pages and open handles of a toy training with two workers, by iteration."""
    config = toy_config(folder, by_epoch=False, workers=2, val_cfg=None, val_dataloader=None,
                        val_evaluator=None)  # fmt: skip
    config.train_cfg = dict(by_epoch=False, max_iters=iterations)
    config.default_hooks.checkpoint.update(save_best=None, interval=50)
    config.custom_hooks = [dict(type="ResidentMemory")]
    ResidentMemory.seen = {}
    train(config)
    return ResidentMemory.seen


@needs_proc
def test_five_hundred_steps_with_workers_leave_no_handle_open(tmp_path):
    seen = seen_in(tmp_path, 500)
    assert seen[500][1] <= seen[200][1]


@pytest.mark.slow
@needs_proc
def test_two_thousand_steps_with_workers_keep_memory_and_handles(tmp_path):
    seen = seen_in(tmp_path, 2000)
    (pages, handles), (last_pages, last_handles) = seen[200], seen[2000]
    assert last_pages <= 1.02 * pages
    assert last_handles <= handles

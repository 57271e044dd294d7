"""Resuming where there is a GPU: nothing of the checkpoint stays there that the host reads."""

from __future__ import annotations

import pytest
import torch
from toy import toy_config, train

from gemini_det3d.engine.exact import ExactRunner
from gemini_det3d.formats.device_faults import DeviceError


def test_resume_leaves_the_counts_of_adam_on_the_host(tmp_path, monkeypatch):
    """A device of shapes alone stands for a GPU: what would be moved there has no numbers left."""

    def as_on_a_gpu(runner):
        with monkeypatch.context() as patch:
            patch.setattr("mmengine.runner.runner.get_device", lambda: "meta")
            plain(runner)

    plain = ExactRunner.load_or_resume
    train(toy_config(tmp_path, **{"train_cfg.max_epochs": 1}))
    monkeypatch.setattr(ExactRunner, "load_or_resume", as_on_a_gpu)
    runner = train(toy_config(tmp_path), resume=True)
    steps = [state["step"] for state in runner.optim_wrapper.optimizer.state.values()]
    assert steps and all(step.device.type == "cpu" and step == 18 for step in steps)


def test_full_gpu_while_resuming_is_not_told_as_a_fault_of_the_checkpoint(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    train(toy_config(tmp_path, **{"train_cfg.max_epochs": 1}))
    with monkeypatch.context() as patch, pytest.raises(DeviceError, match="lower batch_size"):
        patch.setattr(torch, "load", full)
        train(toy_config(tmp_path), resume=True)
    monkeypatch.setattr(torch.optim.AdamW, "load_state_dict", full)
    with pytest.raises(DeviceError, match="lower batch_size"):
        train(toy_config(tmp_path), resume=True)

"""Two processes validate, freeze and resume the same model, batch normalisation included."""

from __future__ import annotations

import os
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.dist import all_gather
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, METRICS
from toy import differences, newest, toy_config, train, train_and_stop

import gemini_det3d.engine.freeze_norm  # noqa: F401
from gemini_det3d.models.bare import bare_model


@METRICS.register_module()
class MeanOfAll(BaseMetric):
    """Over both processes."""

    default_prefix = ""

    def process(self, data_batch, data_samples):
        self.results += list(data_samples)

    def compute_metrics(self, results):
        return {"acc": float(np.mean(results))}


@HOOKS.register_module()
class Told(Hook):
    """Notes each validation's figure, and by how much the tested models differ."""

    priority = "VERY_LOW"
    lines: list = []

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        buffers = [b.double().flatten() for b in bare_model(runner.model).buffers()]
        one, other = all_gather(torch.cat(buffers))
        self.apart = float((one - other).abs().max())

    def after_val_epoch(self, runner, metrics=None):
        self.lines.append((runner.epoch, metrics["acc"], self.apart))


def config_of(folder, frozen):
    config = toy_config(folder, ema=not frozen, **{"train_cfg.max_epochs": 4})
    config.default_hooks.checkpoint = dict(type="CheckpointHook", interval=1)
    config.val_evaluator = dict(type="MeanOfAll")
    config.launcher = "pytorch"
    config.model_wrapper_cfg = dict(
        type="MMDistributedDataParallel", broadcast_buffers=False, device_ids=None
    )
    config.custom_hooks.append(dict(type="Told"))
    if frozen:
        config.custom_hooks.append(dict(type="mmdet3d.FreezeNormHook", begin=2))
    return config


def work(rank: int, folder: str) -> None:
    """One of the two processes."""
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    for frozen in (False, True):
        told = []
        for name in ("whole", "cut"):
            config = config_of(f"{folder}/{frozen}/{name}", frozen)
            Told.lines = []
            if name == "cut":  # in the third of four epochs of three steps
                train_and_stop(config, before=7)
                Told.lines = told[0][:1]  # the second validation comes again
                dist.barrier()
            train(config, resume=name == "cut")
            told.append(Told.lines)
        torch.save(told, f"{folder}/{frozen}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of both processes' trainings, with and without frozen statistics."""
    folder = tmp_path_factory.mktemp("trainings")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.start_processes(work, (str(folder),), 2, start_method="fork")
    return folder


@pytest.mark.parametrize("frozen", [False, True])
def test_two_processes_test_the_same_model(folder, frozen):
    for rank in (0, 1):
        whole, _ = torch.load(folder / str(frozen) / f"{rank}.pt")
        assert len(whole) == 4 and all(apart == 0 for *_, apart in whole)


@pytest.mark.parametrize("frozen", [False, True])
def test_two_processes_go_on_bit_by_bit_with_their_statistics(folder, frozen):
    path = folder / str(frozen)
    assert differences(newest(path / "whole"), newest(path / "cut")) == []
    for rank in (0, 1):
        whole, cut = torch.load(path / f"{rank}.pt")
        assert cut == whole

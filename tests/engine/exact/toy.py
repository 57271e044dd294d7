"""A training that takes a second: random samples, dropout, batch norm, several optimisers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, RUNNERS
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import Dataset

import gemini_det3d.engine.exact
import gemini_det3d.engine.module_optimizers  # noqa: F401
from gemini_det3d.engine.exact.reading import read_training_checkpoint

SIZE = 23


@DATASETS.register_module()
class NoisySamples(Dataset):
    """Each sample draws from all three generators that pipelines use; `log` gets what it drew."""

    metainfo = {"classes": ("a",)}

    def __init__(self, size=SIZE, log=None, fail=None, pause_s=0.0):
        self.size, self.log, self.fail, self.pause_s = size, log, fail, pause_s

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        time.sleep(self.pause_s)
        drawn = [random.random(), np.random.rand(), torch.rand(()).item()]
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{index} {drawn}\n")
        return {"inputs": torch.tensor([index / self.size, *drawn]), "index": index}


class Part(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3),
                         nn.Linear(8, 1))  # fmt: skip


@MODELS.register_module()
class OnePart(BaseModel):
    def __init__(self):
        super().__init__()
        self.generator = Part()

    def forward(self, inputs, index=None, mode="tensor"):
        stacked = torch.stack(list(inputs))
        value = self.generator(stacked).squeeze(1)
        if mode == "loss":
            return {"loss": ((value - torch.rand_like(value)) ** 2).mean()}
        return [v.item() for v in value]


@MODELS.register_module()
class TwoParts(OnePart):
    """Two optimisers, as adversarial training has them."""

    def __init__(self):
        super().__init__()
        self.discriminator = Part()

    def train_step(self, data, optim_wrapper):
        data = self.data_preprocessor(data, True)
        inputs = torch.stack(list(data["inputs"]))
        log = {}
        for name in ("discriminator", "generator"):
            with optim_wrapper[name].optim_context(self):
                loss = (getattr(self, name)(inputs) ** 2 + torch.rand(1)).mean()
            optim_wrapper[name].update_params(loss)
            log[f"loss_{name}"] = loss
        return {**log, "loss": sum(log.values())}


@METRICS.register_module()
class MeanValue:
    """A metric that rises and falls."""

    dataset_meta = None

    def __init__(self, collect_device="cpu"):
        self.values = []

    def process(self, data_batch, data_samples):
        self.values += list(data_samples)

    def evaluate(self, size):
        values, self.values = self.values, []
        return {"acc": float(np.mean(values) + random.random())}


NO_VALIDATION = {"val_cfg": None, "val_dataloader": None, "val_evaluator": None,
                 "default_hooks.checkpoint.save_best": None}  # fmt: skip


@HOOKS.register_module()
class StopBefore(Hook):
    """Stops a training as a kill does."""

    priority = "LOWEST"

    def __init__(self, step):
        self.step = step

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.step:
            raise KeyboardInterrupt


def toy_config(work_dir, two=False, by_epoch=True, workers=0, ema=True, **changes):
    """A config in mmengine's form, of three epochs of six batches."""
    loader = dict(batch_size=4, num_workers=workers, dataset=dict(type="NoisySamples"))
    optimizer = dict(optimizer=dict(type="AdamW", lr=0.01))
    if two:
        optimizer.update(constructor="ModuleOptimWrapperConstructor",
                         modules=["generator", "discriminator"])  # fmt: skip
    sampler = dict(type="DefaultSampler" if by_epoch else "InfiniteSampler", shuffle=True)
    config = dict(
        runner_type="ExactRunner",
        work_dir=str(work_dir),
        model=dict(type="TwoParts" if two else "OnePart"),
        train_dataloader=dict(**loader, sampler=sampler),
        val_dataloader=dict(**loader, sampler=dict(type="DefaultSampler", shuffle=False)),
        train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=1)
        if by_epoch
        else dict(by_epoch=False, max_iters=18, val_interval=5),
        val_cfg=dict(),
        val_evaluator=dict(type="MeanValue"),
        optim_wrapper=dict(type="OptimWrapper", **optimizer),
        param_scheduler=[dict(type="CosineAnnealingLR", T_max=20, by_epoch=False)],
        default_hooks=dict(
            checkpoint=dict(
                type="CheckpointHook", interval=4, by_epoch=False, max_keep_ckpts=2, save_best="acc"
            )
        ),  # fmt: skip
        custom_hooks=[dict(type="EMAHook", momentum=0.1)] if ema else [],
        randomness=dict(seed=7),
        log_level="WARNING",
        env_cfg=dict(mp_cfg=dict(mp_start_method="fork")),
    )
    config = Config(config)
    config.merge_from_dict(changes)
    return config


def train(config, resume=False):
    """Train in this process."""
    config.resume = resume
    for kind in (MMLogger, MessageHub, Visualizer):
        kind._instance_dict.clear()
    config.experiment_name = f"toy_{time.time_ns()}"
    runner = RUNNERS.build(config)
    runner.train()
    return runner


def train_and_stop(config, before, resume=False):
    """Train in this process until a step is about to be done; steps count from 0."""
    config.custom_hooks.append(dict(type="StopBefore", step=before))
    with contextlib.suppress(KeyboardInterrupt):
        train(config, resume)
        raise AssertionError("it was not stopped")
    config.custom_hooks.pop()


def warnings_of(folder):
    """What the logs of a run's folder hold of ours that is a warning, without the time."""
    lines = [line for path in sorted(Path(folder).rglob("*.log"))
             for line in path.read_text().splitlines()]  # fmt: skip
    return [line.partition(" - WARNING - ")[2] for line in lines if " - WARNING - " in line]


def train_and_kill(config, after_s):
    """Train in a process of its own, killed (SIGKILL) after a while; whether it was."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_silently, args=(config,))
    process.start()
    process.join(after_s)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _silently(config):
    os.setpgrp()
    torch.set_num_threads(1)
    train(config, resume=True)


def newest(folder):
    """Content of the newest checkpoint."""
    return read_training_checkpoint((Path(folder) / "last_checkpoint").read_text())


def differences(first, second, path=""):
    """Where two checkpoints are not the same, bit by bit; what tells the time is left out."""
    if hasattr(first, "_log_history"):
        first, second = vars(first), vars(second)
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) and first.dtype == second.dtype else [path]
    if isinstance(first, np.ndarray):
        return [] if np.array_equal(first, second, equal_nan=True) else [path]
    if isinstance(first, dict):
        keys = {k for k in {*first, *second} if k not in UNEQUAL}
        return [d for k in sorted(keys, key=str) for d in (
            differences(first[k], second[k], f"{path}/{k}") if k in first and k in second
            else [f"{path}/{k}"])]  # fmt: skip
    if isinstance(first, (list, tuple)):
        if len(first) != len(second):
            return [path]
        return [d for i, pair in enumerate(zip(first, second))
                for d in differences(*pair, f"{path}/{i}")]  # fmt: skip
    return [] if first == second else [path]


# Times, names of the run, and the paths of its files.
UNEQUAL = {"time", "eta", "train/time", "train/data_time", "val/time", "val/data_time",
           "experiment_name", "superseded", "run", "cfg", "mmengine_version", "last_ckpt",
           "best_ckpt", "_statistics_methods"}  # fmt: skip

"""Detector, indoor detector, segmentor and translator: killed and resumed, bit by bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from programs import run_python
from toy import differences, newest, train, train_and_kill

from gemini_det3d.apis.config import find_config, mmdet3d_mim
from gemini_det3d.engine.exact import newest_whole_checkpoint

CLI = ("-m", "gemini_det3d.cli")
TASKS = {
    "detector": (
        "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class",
        [("make-scenes", "{}", "--train", 4, "--val", 2, "--workers", 1),
         ("prepare", "kitti", "{}", "--workers", 1)],
    ),
    "indoor": (
        "votenet_gemini-point_r18_1xb4-toy_rooms-6class",
        [("make-rooms", "{}", "--train", 8, "--val", 2, "--workers", 1),
         ("prepare", "sunrgbd", "{}", "--workers", 1)],
    ),
    "segmentor": (
        "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class",
        [("make-scenes", "{}", "--layout", "deliver", "--train", 8, "--val", 4, "--workers", 1)],
    ),
    "translator": (
        "translator_gemini_mit-toy_views-rgb-edge2depth",
        [("make-views", "{}", "--train", 8, "--val", 4, "--workers", 1)],
    ),
}  # fmt: skip


def make_config(task, folder, by_epoch=True):
    """The toy config on a few frames of its own world: two epochs, a checkpoint every step."""
    name, commands = TASKS[task]
    data = folder / "data"
    for command in commands:
        run_python(*CLI, *(data if word == "{}" else word for word in command), cwd=folder)
    config = Config.fromfile(find_config(name))
    root = f"{data}/"
    text = config.pretty_text.replace("work_dirs", "no_dirs")
    config = Config.fromstring(text.replace(config.data_root, root), ".py")
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.num_workers, loader.persistent_workers = 0, False
    config.train_dataloader.batch_size = 2
    config.train_cfg.update(max_epochs=2, val_interval=1)
    if not by_epoch:
        config.train_cfg = dict(type="IterBasedTrainLoop", max_iters=8, val_interval=3)
        config.train_dataloader.sampler = dict(type="InfiniteSampler", shuffle=True)
    config.param_scheduler = [dict(type="CosineAnnealingLR", T_max=20, by_epoch=False)]
    config.default_hooks.checkpoint = dict(
        type="CheckpointHook", interval=1, by_epoch=False, max_keep_ckpts=2
    )
    config.custom_hooks = [dict(type="EMAHook")]
    config.randomness, config.log_level = dict(seed=5), "WARNING"
    return config


LOOPS = [*((task, True) for task in TASKS), ("segmentor", False), ("translator", False)]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "by_epoch"), LOOPS)
def test_task_that_is_killed_again_and_again_ends_bit_by_bit_the_same(task, by_epoch, tmp_path):
    torch.set_num_threads(1)
    config = make_config(task, tmp_path, by_epoch)
    config.work_dir = str(tmp_path / "whole")
    start = time.perf_counter()
    runner = train(config)
    took_s = time.perf_counter() - start
    assert runner.iter >= 4
    assert (task == "translator") == hasattr(runner.optim_wrapper, "optim_wrappers")
    config.work_dir = str(tmp_path / "cut")
    draw, kills = random.Random(0), 0
    while kills < 6 and train_and_kill(config, draw.uniform(0.05, 0.4) * took_s):
        kills += 1
    train(config, resume=True)
    assert kills >= 1
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "cut")) == []


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detector", "segmentor", "translator"])
def test_mmdet3d_own_script_killed_within_an_epoch_ends_bit_by_bit_the_same(task, tmp_path):
    config = make_config(task, tmp_path)
    config.log_level = "INFO"
    (tmp_path / "config.py").write_text(config.pretty_text)
    run = (mmdet3d_mim() / "tools" / "train.py", tmp_path / "config.py", "--work-dir")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_python(*run, whole, cwd=tmp_path)
    length = newest(whole)["exact_state"]["batches_per_epoch"]
    kill_once_written([*run, cut], cut / f"iter_{length + 1}.pth", cwd=tmp_path)
    reached = newest_whole_checkpoint(cut, pytest.fail)
    number = int(reached.stem.removeprefix("iter_"))
    assert length < number < 2 * length
    log = run_python(*run, cut, "--resume", cwd=tmp_path)
    assert f"resumed epoch: 1, iter: {number}" in log
    assert differences(newest(whole), newest(cut)) == []


def kill_once_written(command, path: Path, cwd):
    """Run a Python program and kill it (SIGKILL) as soon as a file is there."""
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=cwd, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while not path.exists():
        assert process.poll() is None, f"it ended without {path.name}"
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL

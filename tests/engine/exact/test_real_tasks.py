"""Detector, indoor detector, segmentor and translator: killed and resumed, bit by bit."""

from __future__ import annotations

import random
import shutil
import time

import pytest
import torch
from mmengine.config import Config
from programs import run_python
from toy import differences, newest, train, train_and_kill

from gemini_det3d.apis.config import find_config, mmdet3d_mim

CLI = ("-m", "gemini_det3d.cli")
TASKS = {
    "detector": (
        "mvxnet_gemini-point_r18_1xb2-6e_scenes-3class",
        [("make-scenes", "{}", "--train", 4, "--val", 2, "--workers", 1),
         ("prepare", "kitti", "{}", "--workers", 1)],
    ),
    "indoor": (
        "votenet_gemini-point_r18_1xb4-30e_rooms-6class",
        [("make-rooms", "{}", "--train", 8, "--val", 2, "--workers", 1),
         ("prepare", "sunrgbd", "{}", "--workers", 1)],
    ),
    "segmentor": (
        "segformer_gemini-pixel_mit-toy_1xb4-12e_scenes-25class",
        [("make-scenes", "{}", "--layout", "deliver", "--train", 8, "--val", 4, "--workers", 1)],
    ),
    "translator": (
        "translator_gemini_mit-toy_views-rgb-edge2depth",
        [("make-views", "{}", "--train", 8, "--val", 4, "--workers", 1)],
    ),
}  # fmt: skip


def make_config(task, folder):
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
    config.param_scheduler = [dict(type="CosineAnnealingLR", T_max=20, by_epoch=False)]
    config.default_hooks.checkpoint = dict(
        type="CheckpointHook", interval=1, by_epoch=False, max_keep_ckpts=2
    )
    config.custom_hooks = [dict(type="EMAHook")]
    config.randomness, config.log_level = dict(seed=5), "WARNING"
    return config


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_task_that_is_killed_again_and_again_ends_bit_by_bit_the_same(task, tmp_path):
    torch.set_num_threads(1)
    config = make_config(task, tmp_path)
    config.work_dir = str(tmp_path / "whole")
    start = time.perf_counter()
    runner = train(config)
    took_s = time.perf_counter() - start
    assert runner.iter >= 4
    config.work_dir = str(tmp_path / "cut")
    draw, kills = random.Random(0), 0
    while kills < 6 and train_and_kill(config, draw.uniform(0.05, 0.4) * took_s):
        kills += 1
    train(config, resume=True)
    assert kills >= 1
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "cut")) == []


@pytest.mark.slow
def test_mmdet3d_own_script_resumes_within_an_epoch(tmp_path):
    config = make_config("translator", tmp_path)
    (tmp_path / "config.py").write_text(config.pretty_text)
    script = mmdet3d_mim() / "tools" / "train.py"
    run = (script, tmp_path / "config.py", "--work-dir")
    run_python(*run, tmp_path / "whole", cwd=tmp_path)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    (tmp_path / "cut" / "iter_8.pth").unlink()  # as if it had been killed in its last step
    log = run_python(*run, tmp_path / "cut", "--resume", cwd=tmp_path)
    assert "resumed epoch: 1, iter: 7" in log
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "cut")) == []

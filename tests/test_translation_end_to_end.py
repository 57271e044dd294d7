"""mmdet3d's own scripts on a few synthetic views: train, resume, test, two processes, translate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import run_warm

from gemini_det3d.apis.config import find_config, mmdet3d_mim
from gemini_det3d.formats.taskonomy import domain_path, read_list
from gemini_det3d.worlds import Viewpoint, ViewSet, make_taskonomy_views

CONFIG = "translator_gemini_mit-toy_views-rgb-edge2depth"


@pytest.fixture(scope="session")
def views(tmp_path_factory):
    """Eight training and four test views."""
    folder = tmp_path_factory.mktemp("views")
    viewpoint = Viewpoint(size_px=24, supersample=1)
    make_taskonomy_views(folder, ViewSet(8, 4, viewpoint=viewpoint))
    return folder


@pytest.fixture(scope="session")
def config(views):
    """The toy config on these views, one epoch."""
    path = views / "config.py"
    path.write_text(
        f"_base_ = [{find_config(CONFIG).as_posix()!r}]\n"
        f"root = dict(data_root={views.as_posix() + '/'!r})\n"
        "train_dataloader = dict(batch_size=4, dataset=root)\n"
        "val_dataloader = dict(dataset=root)\n"
        "test_dataloader = val_dataloader\n"
        "param_scheduler = []\n"
        "train_cfg = dict(max_epochs=1, val_interval=1)\n"
        "default_hooks = dict(logger=dict(interval=1))\n"
        "default_hooks = dict(pictures=dict(interval=2))\n"
    )
    return path


@pytest.fixture(scope="session")
def trained(views, config):
    """Working directory of a finished training by mmdet3d's unmodified script."""
    script = mmdet3d_mim() / "tools" / "train.py"
    log = run_warm(script, config, "--work-dir", views / "work", cwd=views)
    (views / "work" / "train.log").write_text(log)
    return views / "work"


def last_checkpoint(folder):
    return Path((folder / "last_checkpoint").read_text().strip())


def test_translator_trains_by_mmdet3d_own_script_and_is_measured(trained):
    log = (trained / "train.log").read_text()
    assert "generator.lr" in log and "discriminator.lr" in log
    assert "translation/MAE:" in log and "translation/KID_filter-bank:" in log
    assert (trained / "epoch_1.pth").is_file()


def test_translator_training_leaves_pictures(trained):
    (picture,) = trained.rglob("vis_image/*.png")
    # four views: two sources, the translation and the truth of 64 x 64 pixels
    assert np.asarray(Image.open(picture)).shape == (4 * 64, 4 * 64, 3)


@pytest.mark.slow
def test_translator_resumes_both_optimizers_where_it_stopped(views, config, trained):
    script = mmdet3d_mim() / "tools" / "train.py"
    log = run_warm(
        script, config, "--work-dir", trained, "--resume",
        "--cfg-options", "train_cfg.max_epochs=2", cwd=views,
    )  # fmt: skip
    assert "resumed epoch: 1" in log and (trained / "epoch_2.pth").is_file()
    assert "Epoch(train) [1]" not in " ".join(log.split())


@pytest.mark.slow
def test_translator_is_tested_by_mmdet3d_own_script(views, config, trained):
    script = mmdet3d_mim() / "tools" / "test.py"
    log = run_warm(
        script, config, last_checkpoint(trained), "--work-dir", views / "test",
        "--cfg-options", "test_evaluator.stretch_images=True", cwd=views,
    )  # fmt: skip
    assert "translation/FID_filter-bank_stretched:" in log


@pytest.mark.slow
def test_translator_trains_in_two_processes_without_cuda(views, config):
    # Two iterations each: a parameter left unused in the first stops the second.
    script = mmdet3d_mim() / "tools" / "train.py"
    log = run_warm(
        "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29518", script, config,
        "--work-dir", views / "two", "--launcher", "pytorch",
        "--cfg-options", "train_dataloader.batch_size=2", cwd=views,
    )  # fmt: skip
    assert "Epoch(train) [1][2/2]" in " ".join(log.split()) and "translation/MAE:" in log
    assert (views / "two" / "epoch_1.pth").is_file()


@pytest.mark.slow
def test_checkpoint_of_two_processes_translates(views, config):
    stem = read_list(views / "val.txt")[0]
    inputs = [domain_path(views, stem, domain) for domain in ("rgb", "edge_occlusion")]
    checkpoint = last_checkpoint(views / "two")
    run_warm("-m", "gemini_det3d.cli", "translate", config, checkpoint, *inputs,
               "--out", views / "out", cwd=views)  # fmt: skip
    assert np.asarray(Image.open(views / "out" / f"{stem}.png")).shape == (64, 64, 3)

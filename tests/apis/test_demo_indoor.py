"""The indoor demo's own parts; its steps are tested where they live."""

from __future__ import annotations

import argparse

import pytest
from mmengine.config import Config

from gemini_det3d.apis.config import find_config
from gemini_det3d.commands import demo_indoor


@pytest.fixture
def args(tmp_path):
    parser = argparse.ArgumentParser()
    demo_indoor.add_arguments(parser)
    return parser.parse_args(["--data", str(tmp_path / "rooms"), "--seed", "5", "--epochs", "3"])


def test_indoor_configs_name_the_folders_the_seed_and_the_epochs(args, tmp_path):
    runs = demo_indoor.declare_runs(args, tmp_path)
    root = f"{(tmp_path / 'rooms').as_posix()}/"
    configs = {run.name: Config.fromfile(run.config) for run in runs}
    for name, config in configs.items():
        assert config.train_dataloader.dataset.dataset.data_root == root
        assert config.test_evaluator.txt_dir.startswith(tmp_path.as_posix())
        assert (config.randomness.seed, config.train_cfg.max_epochs) == (5, 3)
        assert (config.model.fusion_layer is None) == (name == "points")
    assert len({config.test_evaluator.txt_dir for config in configs.values()}) == 2


def test_indoor_detectors_differ_in_the_image_branch_alone():
    points, fused = (Config.fromfile(find_config(name)) for name in demo_indoor.CONFIGS.values())
    branch = ("img_backbone", "img_neck", "fusion_layer")
    for key in fused.model:
        assert key in branch or fused.model[key] == points.model[key], key
    for key in ("optim_wrapper", "param_scheduler", "train_cfg"):
        assert points[key] == fused[key]
    of_image = ("LoadImageFromFile", "Resize")
    steps = [step for step in fused.train_pipeline if step.type not in of_image]
    assert [s.type for s in points.train_pipeline] == [s.type for s in steps]
    assert points.train_pipeline[:-1] == steps[:-1]


def test_indoor_table_holds_both_detectors():
    keys = [f"{name}_AP_{o}" for name in demo_indoor.CLASSES for o in ("0.25", "0.50")]
    figures = {
        name: {**dict.fromkeys(keys, 10.0 + i), "mAP_0.25": 41.5 + i, "mAP_0.50": 17.0 + i}
        for i, name in enumerate(demo_indoor.CONFIGS)
    }
    for markdown in (False, True):
        text = demo_indoor.table(figures, markdown)
        assert all(value in text for value in ("41.5", "42.5", "17.0", "18.0", "night_stand"))

"""The demo's own parts; its steps are tested where they live."""

from __future__ import annotations

import argparse
import io
import json

import pytest
from mmengine.config import Config
from tqdm import tqdm

from gemini_det3d.apis import demo
from gemini_det3d.apis.config import ConfigError

LINE = (
    "11/22 04:02:37 - mmengine - INFO - Epoch(train)  [6][ 70/100]  lr: 4.9406e-04  eta: 0:02:45"
    "  time: 0.9017  data_time: 0.0069  grad_norm: 7.5086  loss: 0.6598  loss_cls: 0.1777"
)


@pytest.fixture
def args(tmp_path):
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(["--data", str(tmp_path / "scenes"), "--seed", "5"])


def test_config_names_the_folders_and_the_seed(args, tmp_path):
    config = Config.fromfile(demo.write_config(args, tmp_path))
    root = f"{(tmp_path / 'scenes').as_posix()}/"
    assert config.train_dataloader.dataset.dataset.data_root == root
    assert config.test_evaluator.ann_file == f"{root}kitti_infos_val.pkl"
    assert config.test_evaluator.txt_dir == f"{tmp_path.as_posix()}/detections"
    assert config.randomness.seed == 5


def test_progress_follows_the_line_that_mmengine_prints(tmp_path, monkeypatch):
    shown, show = [], demo.show
    monkeypatch.setattr(demo, "show", lambda bar, *groups, epochs: shown.append(groups))
    program = tmp_path / "program.py"
    program.write_text(f"print({LINE!r})\n")
    demo.follow([program], tmp_path / "log", demo.TRAINING)
    assert shown == [("6", "70", "100", "0.6598")]
    bar = tqdm(file=io.StringIO())
    show(bar, *shown[0], epochs=6)
    assert (bar.n, bar.total) == (570, 600)


def test_a_program_that_fails_is_one_line_with_its_log(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit('no such data')\n")
    with pytest.raises(ConfigError, match=r"program\.py failed: no such data .*log"):
        demo.follow([program], tmp_path / "log", demo.TRAINING)


def test_summary_can_be_read_back(args):
    text = json.dumps(demo.summarise(args, {"Car": 1.0}, {"training": 2.0}))
    assert json.loads(text)["versions"].keys() == set(demo.PACKAGES)

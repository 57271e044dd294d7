"""The demo's own parts; its steps are tested where they live."""

from __future__ import annotations

import argparse
import json
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config

from gemini_det3d.apis.demo_pass import DemoPass
from gemini_det3d.apis.machine import PACKAGES
from gemini_det3d.cli import main
from gemini_det3d.commands import demo, demo_indoor
from gemini_det3d.visualization import save_png
from gemini_det3d.visualization.report import Pictures


@pytest.fixture
def args(tmp_path):
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(["--data", str(tmp_path / "scenes"), "--seed", "5"])


def test_config_names_the_folders_and_the_seed(args, tmp_path):
    config = Config.fromfile(demo.declare_run(args, tmp_path).config)
    root = f"{(tmp_path / 'scenes').as_posix()}/"
    assert config.train_dataloader.dataset.dataset.data_root == root
    assert config.test_evaluator.ann_file == f"{root}kitti_infos_val.pkl"
    assert config.test_evaluator.txt_dir == f"{tmp_path.as_posix()}/detections"
    assert config.randomness.seed == 5


def test_summary_can_be_read_back(args, tmp_path, capsys):
    args.work_dir = tmp_path / "work"
    a_pass = DemoPass(args)
    assert a_pass.step("training", lambda value: value + 1, 2) == 3
    assert a_pass.finish({"Car": 1.0}, "| a |", "a") == 0
    summary = json.loads((args.work_dir / "summary.json").read_text())
    assert summary["versions"].keys() == set(PACKAGES) and summary["metrics"] == {"Car": 1.0}
    assert summary["arguments"]["seed"] == 5 and summary["seconds"].keys() == {"training"}
    assert (args.work_dir / "table.md").read_text() == "| a |\n"
    page = args.work_dir / "report.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {page}" and page.is_file()


@pytest.mark.parametrize("epochs", ["0", "1"])
@pytest.mark.parametrize("name", ["demo", "demo-indoor", "demo-segmentation"])
def test_too_few_epochs_are_one_line_that_names_the_option_before_any_work(
    name, epochs, tmp_path, monkeypatch, capsys
):
    for made in ("demo.make_scenes", "demo_indoor.make_data", "demo_segmentation.make_scenes"):
        monkeypatch.setattr(f"gemini_det3d.commands.{made}", lambda args: pytest.fail("made data"))
    folders = ["--data", str(tmp_path / "data"), "--work-dir", str(tmp_path / "work")]
    assert main([name, *folders, "--epochs", epochs]) == 2
    assert f"--epochs {epochs}: must be 2 or more, 1 of them to rise" in capsys.readouterr().err


@pytest.mark.parametrize("command", [demo, demo_indoor])
def test_page_shows_the_pictures_of_this_pass_alone(command, tmp_path, monkeypatch):
    found = SimpleNamespace(report=lambda markdown=False: "a", result=SimpleNamespace(as_dict=dict))
    steps = ("declare_run", "declare_runs", "make_scenes", "make_data", "convert", "run_or_fail")
    for name in steps:
        monkeypatch.setattr(command, name, lambda *_: None, raising=False)
    is_indoor = command is demo_indoor
    monkeypatch.setattr(command, "evaluate", lambda *_: {} if is_indoor else found)
    monkeypatch.setattr("gemini_det3d.apis.reports.detection.kitti_sections", lambda *_: [])
    monkeypatch.setattr(demo_indoor, "room_precision", lambda _: Pictures("none", []))

    def draw(data, work_dir):
        save_png(work_dir / "pictures" / "new.png", np.zeros((5, 7, 3), np.uint8))
        return [work_dir / "pictures" / "new.png"]

    monkeypatch.setattr(command, "draw", draw)
    save_png(tmp_path / "pictures" / "old.png", np.zeros((5, 7, 3), np.uint8))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["--work-dir", str(tmp_path)])) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ">new.png<" in page and ">old.png<" not in page

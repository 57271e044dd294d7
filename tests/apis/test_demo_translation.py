"""The translation demo's own parts; its steps are tested where they live."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from gemini_det3d.apis import demo_translation
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.translation_demo import report, runs
from gemini_det3d.apis.translator import Translator
from gemini_det3d.cli import main


@pytest.fixture
def args(tmp_path):
    parser = argparse.ArgumentParser()
    demo_translation.add_arguments(parser)
    return parser.parse_args(["--data", str(tmp_path / "views"), "--seed", "5"])


def runs_of(args, tmp_path, task="rgb-edge2depth"):
    return demo_translation.runs_of(args, tmp_path, demo_translation.start_of(args, tmp_path, task))


def test_a_task_is_trained_with_each_operator_and_on_each_source_alone(args, tmp_path):
    found = runs_of(args, tmp_path)
    assert [run.name for run in found] == [*runs.OPERATORS, "only-rgb", "only-edge_occlusion"]
    configs = [Config.fromfile(run.config) for run in found]
    assert [c.model.generator.num_sources for c in configs] == [2, 2, 2, 1, 1]
    assert [c.model.generator.operator.type for c in configs[:3]] == list(runs.OPERATORS)
    for config, run in zip(configs, found):
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
            assert tuple(loader.dataset.sources) == run.sources
            assert loader.dataset.target == "depth_euclidean"
            assert loader.dataset.data_root == f"{(tmp_path / 'views').as_posix()}/"
        assert config.randomness.seed == 5


def test_all_runs_of_a_task_are_trained_alike_but_for_what_is_compared(args, tmp_path):
    found = runs_of(args, tmp_path, "shade-texture2rgb")
    configs = [Config.fromfile(run.config) for run in found]
    for config in configs[1:]:
        assert config.train_cfg == configs[0].train_cfg
        assert config.optim_wrapper == configs[0].optim_wrapper
        assert config.model.generator.dims == configs[0].model.generator.dims


def test_streams_learn_apart_and_all_trainings_start_from_them(args, tmp_path):
    found = runs_of(args, tmp_path)
    start = Config.fromfile(found[0].start.config)
    assert start.model.generator.last_k == 0 and start.train_cfg.max_epochs == args.start_epochs
    assert tuple(start.train_dataloader.dataset.sources) == ("rgb", "edge_occlusion")
    assert start.train_cfg.val_interval > start.train_cfg.max_epochs  # nobody reads its metrics
    configs = [Config.fromfile(run.config) for run in found]
    assert {c.model.init_cfg.checkpoint for c in configs} == {str(found[0].start.checkpoint())}
    assert [c.model.init_cfg.streams for c in configs] == [[0, 1], [0, 1], [0, 1], [0], [1]]
    assert {c.train_cfg.max_epochs for c in configs} == {args.epochs}


@pytest.mark.parametrize("option", ["--train", "--val", "--epochs", "--start-epochs", "--jobs"])
def test_a_number_below_one_is_one_line_that_names_it(option, tmp_path, capsys):
    options = ["--data", str(tmp_path / "views"), "--work-dir", str(tmp_path / "work"), option, "0"]
    assert main(["demo-translation", *options]) != 0
    assert f"{option} 0: must be 1 or more" in capsys.readouterr().err


def test_a_folder_of_other_options_is_refused(args, tmp_path):
    runs_of(args, tmp_path)
    args.seed = 6
    with pytest.raises(ConfigError, match="other options"):
        runs_of(args, tmp_path)


def test_a_demo_that_was_cut_off_goes_on_though_the_training_left_its_own_config(args, tmp_path):
    for run in runs_of(args, tmp_path):
        Config.fromfile(run.config).dump(run.folder / run.config.name)  # as mmengine's runner does
    assert len(runs_of(args, tmp_path)) == 5


def finished(args, tmp_path, values):
    found = runs_of(args, tmp_path)
    return found, {run.folder.name: dict(MAE=v, MSE=v * v, **{"KID_filter-bank": v / 100})
                   for run, v in zip(found, values)}  # fmt: skip


def test_table_has_a_row_per_training_and_says_what_kid_is_of(args, tmp_path):
    text = report.table(*finished(args, tmp_path, [0.1, 0.2, 0.3, 0.4, 0.5]))
    rows = text.splitlines()[2:7]
    assert rows[0] == "| RGB + Edge -> Depth | rgb + edge | Gemini | 0.1000 | 0.0100 | 0.100 |"
    assert rows[4] == "| RGB + Edge -> Depth | edge | none | 0.5000 | 0.2500 | 0.500 |"
    assert "filter-bank" in text


def test_metrics_are_those_of_the_last_validation(tmp_path):
    for name, lines in (
        ("20260101_000000", [{"loss": 1.0}, {"translation/MAE": 0.5, "step": 1}]),
        ("20260102_000000", [{"translation/MAE": 0.4}, {"translation/MAE": 0.3}, {"loss": 2}]),
        ("20260103_000000", [{"loss": 1.0}]),
    ):
        folder = tmp_path / name / "vis_data"
        folder.mkdir(parents=True)
        (folder / "scalars.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert runs._last_metrics(tmp_path) == {"MAE": 0.3}


def test_training_without_a_validation_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="without a validation"):
        runs._last_metrics(tmp_path)


def test_a_finished_training_is_left_alone(args, tmp_path, monkeypatch):
    found, _ = finished(args, tmp_path, [0.1] * 5)
    monkeypatch.setattr(runs, "_follow", lambda *a: pytest.fail("trained again"))
    for run in found:
        (run.folder / "metrics.json").write_text('{"MAE": 0.25}')
    metrics = demo_translation.train_all(found, jobs=2)
    assert metrics == {run.folder.name: {"MAE": 0.25} for run in found}


def test_a_training_that_fails_is_one_line_with_its_log(args, tmp_path, monkeypatch):
    found, _ = finished(args, tmp_path, [0.1] * 5)
    script = tmp_path / "train.py"
    script.write_text("raise SystemExit('no such data')\n")
    monkeypatch.setattr(runs, "script", lambda name: script)
    with pytest.raises(ConfigError, match=r"train\.py failed: no such data .*train\.log"):
        demo_translation.train_all(found[:1], jobs=1)


def test_summary_can_be_read_back(args):
    text = json.dumps(report.summarise(args, {"a": {"MAE": 1.0}}, {"training": 2.0}))
    assert json.loads(text)["views"] == {"train": args.train, "val": args.val}


def test_demo_ends_with_table_grid_and_summary(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo_translation.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(runs, "_follow", lambda *a: pytest.fail("trained again"))
    options = ["--data", str(tmp_path / "views"), "--work-dir", str(tmp_path / "work")]
    options += ["--tasks", "rgb-edge2depth", "--operators", "GeminiFusion"]
    options += ["--train", "1", "--val", "2", "--jobs", "1"]
    parser = argparse.ArgumentParser()
    demo_translation.add_arguments(parser)
    parsed = parser.parse_args(options)
    (tmp_path / "work").mkdir()
    for run in runs_of(parsed, tmp_path / "work"):
        (run.start.folder / "metrics.json").write_text("{}")
        state = Translator(run.config).model.state_dict()
        torch.save({"state_dict": state}, run.checkpoint())  # as a finished training leaves it
        metrics = dict(MAE=0.5, MSE=0.25, **{"KID_filter-bank": 0.01})
        (run.folder / "metrics.json").write_text(json.dumps(metrics))
    assert main(["demo-translation", *options]) == 0
    work = tmp_path / "work"
    assert "| rgb + edge | Gemini | 0.5000 | 0.2500 | 1.000 |" in (work / "table.md").read_text()
    assert len(json.loads((work / "summary.json").read_text())["metrics"]) == 3
    grid = np.asarray(Image.open(work / "rgb-edge2depth.png"))
    assert grid.shape == (28 + 2 * 132 + 4, 6 * 132 + 4, 3)
    assert "RGB + Edge -> Depth" in capsys.readouterr().out

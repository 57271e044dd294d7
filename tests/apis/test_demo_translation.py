"""The translation demo's own parts; its steps are tested where they live."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from gemini_det3d.apis import runs
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.translator import Translator
from gemini_det3d.cli import main
from gemini_det3d.commands import demo_translation

TASK = "rgb-edge2depth"


@pytest.fixture
def args(tmp_path):
    parser = argparse.ArgumentParser()
    demo_translation.add_arguments(parser)
    return parser.parse_args(["--data", str(tmp_path / "views"), "--seed", "5"])


def rows_of(args, tmp_path, task=TASK):
    start = demo_translation.declare_start(args, tmp_path, task)
    return demo_translation.declare_rows(args, task, start)


def test_a_task_is_trained_with_each_operator_and_on_each_source_alone(args, tmp_path):
    found = rows_of(args, tmp_path)
    assert [row.operator for row in found] == [*demo_translation.OPERATORS, None, None]
    configs = [Config.fromfile(row.run.config) for row in found]
    assert [c.model.generator.num_sources for c in configs] == [2, 2, 2, 1, 1]
    operators = [c.model.generator.operator.type for c in configs[:3]]
    assert operators == list(demo_translation.OPERATORS)
    for config, row in zip(configs, found):
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
            assert tuple(loader.dataset.sources) == row.sources
            assert loader.dataset.target == "depth_euclidean"
            assert loader.dataset.data_root == f"{(tmp_path / 'views').as_posix()}/"
        assert config.randomness.seed == 5


def test_all_runs_of_a_task_are_trained_alike_but_for_what_is_compared(args, tmp_path):
    found = rows_of(args, tmp_path, "shade-texture2rgb")
    configs = [Config.fromfile(row.run.config) for row in found]
    for config in configs[1:]:
        assert config.train_cfg == configs[0].train_cfg
        assert config.optim_wrapper == configs[0].optim_wrapper
        assert config.model.generator.dims == configs[0].model.generator.dims


def test_streams_learn_apart_and_all_trainings_start_from_them(args, tmp_path):
    found = rows_of(args, tmp_path)
    a_run = demo_translation.declare_start(args, tmp_path, TASK)
    start = Config.fromfile(a_run.config)
    assert start.model.generator.last_k == 0 and start.train_cfg.max_epochs == args.start_epochs
    assert tuple(start.train_dataloader.dataset.sources) == ("rgb", "edge_occlusion")
    assert not a_run.with_test  # nobody reads its metrics
    configs = [Config.fromfile(row.run.config) for row in found]
    assert {c.model.init_cfg.checkpoint for c in configs} == {str(a_run.checkpoint)}
    assert [c.model.init_cfg.streams for c in configs] == [[0, 1], [0, 1], [0, 1], [0], [1]]
    assert {c.train_cfg.max_epochs for c in configs} == {args.epochs}


@pytest.mark.parametrize("option", ["--train", "--val", "--epochs", "--start-epochs", "--jobs"])
def test_a_number_below_one_is_one_line_that_names_it(option, tmp_path, capsys):
    options = ["--data", str(tmp_path / "views"), "--work-dir", str(tmp_path / "work"), option, "0"]
    assert main(["demo-translation", *options]) != 0
    assert f"{option} 0: must be 1 or more" in capsys.readouterr().err


def test_a_folder_of_other_options_is_refused(args, tmp_path):
    leave_result(rows_of(args, tmp_path)[0].run, {})
    args.seed = 6
    with pytest.raises(ConfigError, match="other settings"):
        rows_of(args, tmp_path)


def test_a_demo_that_was_cut_off_goes_on_though_the_training_left_its_own_config(args, tmp_path):
    for row in rows_of(args, tmp_path):
        copy = row.run.folder / "train" / row.run.config.name
        copy.parent.mkdir()
        Config.fromfile(row.run.config).dump(copy)  # as mmengine's runner does
    assert len(rows_of(args, tmp_path)) == 5


def finished(args, tmp_path, values):
    found = rows_of(args, tmp_path)
    return found, {row.run.folder.name: dict(MAE=v, MSE=v * v, **{"KID_filter-bank": v / 100})
                   for row, v in zip(found, values)}  # fmt: skip


def leave_result(run, metrics):
    content = dict(fingerprint=run.fingerprint, metrics=metrics)
    run.result_file.write_text(json.dumps(content))


def test_table_has_a_row_per_training_and_says_what_kid_is_of(args, tmp_path):
    text = demo_translation.table(*finished(args, tmp_path, [0.1, 0.2, 0.3, 0.4, 0.5]))
    rows = text.splitlines()[2:7]
    assert rows[0] == "| RGB + Edge -> Depth | rgb + edge | Gemini | 0.1000 | 0.0100 | 0.100 |"
    assert rows[4] == "| RGB + Edge -> Depth | edge | none | 0.5000 | 0.2500 | 0.500 |"
    assert "filter-bank" in text


def test_a_finished_training_is_left_alone(args, tmp_path, monkeypatch):
    found = rows_of(args, tmp_path)
    monkeypatch.setattr(runs, "_execute", lambda *a: pytest.fail("trained again"))
    for row in found:
        leave_result(row.run, {"translation/MAE": 0.25, "time": 1.0})
    metrics = demo_translation.train_all(found, jobs=2)
    assert metrics == {row.run.folder.name: {"MAE": 0.25} for row in found}


def test_a_training_that_fails_is_one_line_with_its_log(args, tmp_path, monkeypatch):
    found = rows_of(args, tmp_path)
    script = tmp_path / "train.py"
    script.write_text("raise SystemExit('no such data')\n")
    monkeypatch.setattr(runs.Scripts, "of_mmdet3d", lambda: runs.Scripts(script, script))
    with pytest.raises(ConfigError, match=r"train\.py failed: no such data .*train\.log"):
        demo_translation.train_all(found[:1], jobs=1)


def test_demo_ends_with_table_grid_and_summary(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo_translation, "num_cores", lambda: 1)
    monkeypatch.setattr(runs, "_execute", lambda *a: pytest.fail("trained again"))
    options = ["--data", str(tmp_path / "views"), "--work-dir", str(tmp_path / "work")]
    options += ["--tasks", TASK, "--operators", "GeminiFusion"]
    options += ["--train", "1", "--val", "2", "--jobs", "1"]
    parser = argparse.ArgumentParser()
    demo_translation.add_arguments(parser)
    parsed = parser.parse_args(options)
    (tmp_path / "work").mkdir()
    start = demo_translation.declare_start(parsed, (tmp_path / "work").resolve(), TASK)
    leave_result(start, {})
    metrics = {"MAE": 0.5, "MSE": 0.25, "KID_filter-bank": 0.01}
    for row in demo_translation.declare_rows(parsed, TASK, start):
        leave_result(row.run, {f"translation/{name}": v for name, v in metrics.items()})
        row.run.checkpoint.parent.mkdir()
        state = Translator(row.run.config).model.state_dict()
        torch.save({"state_dict": state}, row.run.checkpoint)  # as a finished training leaves it
    assert main(["demo-translation", *options]) == 0
    work = tmp_path / "work"
    assert "| rgb + edge | Gemini | 0.5000 | 0.2500 | 1.000 |" in (work / "table.md").read_text()
    assert len(json.loads((work / "summary.json").read_text())["metrics"]) == 3
    grid = np.asarray(Image.open(work / "rgb-edge2depth.png"))
    assert grid.shape == (28 + 2 * 132 + 4, 6 * 132 + 4, 3)
    assert "RGB + Edge -> Depth" in capsys.readouterr().out

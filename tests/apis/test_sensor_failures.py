from __future__ import annotations

import argparse
import re

import numpy as np
import pytest
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.seg_config import with_data_root, with_modalities, with_training_step
from gemini_det3d.apis.sensor_failures import (
    evaluate_failures,
    failure_cases,
    failure_table,
    summarise_failures,
)
from gemini_det3d.cli import main
from gemini_det3d.commands.demo_segmentation import CONFIG, VARIANTS, declare_runs
from gemini_det3d.evaluation.functional.segmentation import seg_scores
from gemini_det3d.worlds.generate_seg import make_seg_scenes
from gemini_det3d.worlds.presets import KittiWorld
from gemini_det3d.worlds.seg_frames import SegWorld


@pytest.fixture
def config():
    return Config.fromfile(find_config(CONFIG))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_protocol_has_every_subset_once(count):
    names = ["rgb", "depth", "event", "lidar"][:count]
    groups = [case.group for case in failure_cases(names)]
    assert groups.count("EMM") == 2**count - 2
    assert [groups.count(name) for name in ("clean", "RMM", "NM")] == [1, int(count > 1), 3]
    missing = [tuple(case.step["missing"]) for case in failure_cases(names) if case.group == "EMM"]
    assert len(set(missing)) == len(missing)


def test_model_is_tested_under_every_case(config, tmp_path):
    rig = KittiWorld(image_width=64, image_height=32, supersample=1)
    make_seg_scenes(tmp_path, 1, 3, 0, "deliver", SegWorld(rig))
    config = with_modalities(with_data_root(config, f"{tmp_path}/"), ["rgb", "depth"])
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    init_default_scope("mmdet3d")
    model = MODELS.build(config.model)
    cases = failure_cases(config.model.modalities)
    found = evaluate_failures(model, config, cases)
    without_depth = found["without depth"]
    assert without_depth["ensemble"].mean_iou == without_depth["rgb"].mean_iou
    assert found["all sensors"]["rgb"].mean_iou != without_depth["rgb"].mean_iou
    table = failure_table({"a": found}, cases)
    assert table.count("\n") == 1 + len(cases) + 4
    summary = summarise_failures(found, cases)
    assert summary["EMM"] == pytest.approx(
        (found["without rgb"]["ensemble"].mean_iou + without_depth["ensemble"].mean_iou) / 2
    )
    assert {"NM low", "NM mid", "NM high"} <= set(summary)


def test_report_names_the_classes_of_the_config(config, tmp_path, monkeypatch):
    config.test_dataloader.dataset.metainfo = dict(classes=("street", "rest"))
    config.dump(tmp_path / "own.py")
    scores = {"ensemble": seg_scores(np.eye(2))}
    found = {case.name: scores for case in failure_cases(config.model.modalities)}
    apis = "gemini_det3d.apis"
    built = argparse.Namespace(model=None)
    monkeypatch.setattr(f"{apis}.trained_model.build_for_test", lambda *args: built)
    monkeypatch.setattr(f"{apis}.sensor_failures.evaluate_failures", lambda *args: found)
    own, out = str(tmp_path / "own.py"), str(tmp_path / "out")
    assert main(["eval-sensors", own, "any.pth", "--out", out]) == 0
    assert "street" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_variants_change_model_and_data_alike(config):
    for variant in VARIANTS.values():
        changed = with_modalities(config, variant.modalities)
        assert list(changed.model.data_preprocessor.modalities) == list(variant.modalities)
        assert changed.train_dataloader.dataset.modalities == list(variant.modalities)
    assert len(config.model.modalities) == 4
    with pytest.raises(ConfigError, match="sonar"):
        with_modalities(config, ["sonar"])


def test_training_step_comes_before_packing(config):
    changed = with_training_step(config, dict(type="SegModalityDropout"))
    steps = [step["type"] for step in changed.train_dataloader.dataset.pipeline]
    assert steps[-2:] == ["SegModalityDropout", "PackSegInputs"]
    assert "SegModalityDropout" not in str(config.train_dataloader)


def test_both_continuations_start_from_one_model_and_differ_in_the_failing_sensors_alone(tmp_path):
    args = argparse.Namespace(config=CONFIG, data=tmp_path / "data", seed=0, epochs=8)
    runs = declare_runs(args, tmp_path)
    found = {name: Config.fromfile(run.config) for name, run in runs.items()}
    longer, dropout = found["all four, longer"], found["all four, dropout"]
    start = str(tmp_path / "all_four" / "train" / "epoch_8.pth")
    assert longer.load_from == dropout.load_from == start
    assert [c.train_cfg.max_epochs for c in found.values()] == [8, 8, 8, 6, 6]
    step = dropout.train_dataloader.dataset.pipeline.pop(-2)
    assert step["type"] == "SegModalityDropout"
    assert dropout.to_dict() == longer.to_dict()


def test_too_few_epochs_for_the_continuations_name_a_number_that_works(tmp_path):
    config = tmp_path / "slow_rise.py"
    config.write_text(
        f"_base_ = [{find_config(CONFIG).as_posix()!r}]\nparam_scheduler = ["
        "dict(type='LinearLR', start_factor=0.1, end=10), dict(type='PolyLR', begin=10, end=80)]\n"
    )

    def declared(epochs):
        args = argparse.Namespace(config=str(config), data=tmp_path, seed=0, epochs=epochs)
        return declare_runs(args, tmp_path / str(epochs))

    said = "must be ([0-9]+) or more, 10 of them to rise; models that train on take three quarters"
    with pytest.raises(ConfigError, match=f"--epochs 12: {said}") as error:
        declared(12)
    least = int(re.search(said, str(error.value))[1])
    with pytest.raises(ConfigError, match=f"--epochs {least - 1}: must be {least} or more"):
        declared(least - 1)
    assert len(declared(least)) == len(VARIANTS)


def test_folders_that_cannot_be_written_are_told_before_anything_is_tested(tmp_path, capsys):
    (tmp_path / "file").touch()
    for option in (["--out", f"{tmp_path}/file"], ["--json", f"{tmp_path}/file/scores.json"]):
        assert main(["eval-sensors", CONFIG, "any.pth", *option]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert said[-1].endswith("file: is a file, but a folder is needed there")

"""Scores under corruptions: every condition once, going on where it stopped, one table."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gemini_det3d.apis.demo_segmentation import CONFIG
from mmcv.transforms import BaseTransform
from mmdet3d.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis import robustness
from gemini_det3d.apis.comparison.compare import compare
from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.packed_frames import check_part
from gemini_det3d.apis.robustness import evaluate_robustness
from gemini_det3d.apis.robustness_file import Robustness, read_robustness
from gemini_det3d.apis.seg_config import with_data_root, with_modalities
from gemini_det3d.cli import main
from gemini_det3d.commands.eval_robustness import robustness_sections, robustness_table
from gemini_det3d.datasets.transforms import corruptible
from gemini_det3d.engine.exact import ExactRunner
from gemini_det3d.formats import FormatError
from gemini_det3d.models.segmentors import FusionSegmentor
from gemini_det3d.worlds.generate_seg import make_seg_scenes
from gemini_det3d.worlds.presets import KittiWorld
from gemini_det3d.worlds.seg_frames import SegWorld

NAMES = ["dark", "dropped_values", "views_gone"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A segmentor of two sensors with random parameters, on two small scenes."""
    root = tmp_path_factory.mktemp("seg")
    rig = KittiWorld(image_width=64, image_height=32, supersample=1)
    make_seg_scenes(root, 1, 2, 0, "deliver", SegWorld(rig))
    config = Config.fromfile(find_config(CONFIG))
    config = with_modalities(with_data_root(config, f"{root}/"), ["rgb", "depth"])
    init_default_scope("mmdet3d")
    torch.manual_seed(0)
    checkpoint = root / "random.pth"
    torch.save({"state_dict": MODELS.build(config.model).state_dict()}, checkpoint)
    return config, checkpoint


def test_every_condition_is_tested_once_and_a_run_goes_on(trained, tmp_path, monkeypatch):
    config, checkpoint = trained
    first = evaluate_robustness(config.copy(), checkpoint, tmp_path, NAMES[:2], [1, 5])
    tested = []
    score = robustness._Test.score

    def counted(self, name, severity):
        tested.append((name, severity))
        return score(self, name, severity)

    monkeypatch.setattr(robustness._Test, "score", counted)
    found = evaluate_robustness(config.copy(), checkpoint, tmp_path, NAMES, [1, 5])
    assert tested == [("views_gone", 1), ("views_gone", 5)]
    assert {name: found.corrupted[name] for name in NAMES[:2]} == first.corrupted
    assert found.frames == 2
    assert read_robustness(tmp_path / "robustness.json") == found


def test_draws_are_those_of_a_test_whatever_the_condition(trained, tmp_path, monkeypatch):
    config, checkpoint = copy.deepcopy(trained)
    drawn = []

    class Drawing(BaseTransform):
        def transform(self, results):
            drawn.append(np.random.random())
            return results

    def answer(model, *arguments):
        drawn.append(torch.rand(1).item())
        return test_step(model, *arguments)

    monkeypatch.setitem(TRANSFORMS.module_dict, "Drawing", Drawing)
    test_step = FusionSegmentor.test_step
    monkeypatch.setattr(FusionSegmentor, "test_step", answer)
    loader = {**config.test_dataloader, "batch_size": 1, "num_workers": 0}
    loader["dataset"]["pipeline"].insert(-1, dict(type="Drawing"))
    config.update(
        test_dataloader={**loader, "persistent_workers": False}, load_from=str(checkpoint),
        work_dir=str(tmp_path / "test"), randomness=dict(seed=3),
    )  # fmt: skip
    ExactRunner.from_cfg(copy.deepcopy(config)).test()
    expected = [*drawn]
    assert len(set(expected)) == 4  # two frames, each with a draw of the pipeline and the model's
    drawn.clear()
    evaluate_robustness(config, checkpoint, tmp_path, ["dark"], [5], seed=3)
    assert drawn == [expected[0], *expected, *expected]  # the first frame tells what applies


def test_scores_of_other_corruptions_are_not_kept(trained, tmp_path, monkeypatch):
    config, checkpoint = trained
    monkeypatch.setattr(robustness, "VERSION", robustness.VERSION - 1)
    evaluate_robustness(config.copy(), checkpoint, tmp_path, ["dark"], [5], frames=1)
    monkeypatch.undo()
    monkeypatch.setattr(robustness._Test, "score", lambda self, name, severity: 50.0)
    found = evaluate_robustness(config.copy(), checkpoint, tmp_path, ["dark"], [5], frames=1)
    assert found.clean == found.corrupted["dark"][5] == 50.0


def test_corruptions_change_scores(trained, tmp_path):
    config, checkpoint = trained
    found = evaluate_robustness(config.copy(), checkpoint, tmp_path, ["dropped_values"], [5])
    assert found.corrupted["dropped_values"][5] != found.clean


def test_another_test_is_refused_where_there_are_scores(trained, tmp_path, monkeypatch):
    config, checkpoint = trained
    monkeypatch.setattr(robustness._Test, "score", lambda self, name, severity: 50.0)
    evaluate_robustness(config.copy(), checkpoint, tmp_path, ["dark"], [5])
    kept = (tmp_path / "robustness.json").read_bytes()
    with pytest.raises(
        ConfigError, match=r"robustness\.json: .* test with other frames, seed; use"
    ):
        evaluate_robustness(config.copy(), checkpoint, tmp_path, ["dark"], frames=1, seed=7)
    assert (tmp_path / "robustness.json").read_bytes() == kept


def test_what_cannot_be_changed_is_one_line(trained, tmp_path):
    config, checkpoint = trained
    with pytest.raises(ConfigError, match="lidar_fog: changes the sample's lidar, which it lacks"):
        evaluate_robustness(config.copy(), checkpoint, tmp_path, ["lidar_fog"])
    with pytest.raises(ConfigError, match="lidar_gone: takes the lidar, and .* are rgb, depth"):
        evaluate_robustness(config.copy(), checkpoint, tmp_path, ["lidar_gone"])
    with pytest.raises(ConfigError, match="mist: is none of fog, rain"):
        evaluate_robustness(config.copy(), checkpoint, tmp_path, ["mist"])


def test_a_part_of_nuscenes_is_refused_before_anything_is_tested():
    evaluator = dict(type="NuScenesMetric", metric="bbox", format_only=True)
    check_part(evaluator, 7, range(7))
    with pytest.raises(ConfigError, match="--frames 5: NuScenesMetric evaluates all 7 frames"):
        check_part([dict(type="Other"), evaluator], 5, range(7))


def test_what_changes_nothing_is_not_among_all(trained):
    config, checkpoint = trained
    names = robustness._Test(config.copy(), checkpoint, None, None, 0, None).applicable(None)
    assert {"camera_gone", "views_gone"} <= set(names) and "lidar_gone" not in names


def test_corruptions_that_all_change_nothing_are_refused_or_left_out(
    trained, tmp_path, monkeypatch
):
    config, checkpoint = trained
    monkeypatch.setattr(robustness._Test, "score", lambda self, name, severity: 50.0)
    call = (config, checkpoint, tmp_path, ["lidar_fog", "dark"], [3])
    found = evaluate_robustness(*call, where_applicable=True)
    assert found.corrupted == {"dark": {3: 50.0}}
    monkeypatch.setattr(corruptible, "why_not", lambda *_: "changes nothing")
    with pytest.raises(ConfigError, match="--corruptions: none changes what the model reads"):
        evaluate_robustness(config, checkpoint, tmp_path)
    assert evaluate_robustness(*call, where_applicable=True).corrupted == {}


def test_the_table_has_every_score_and_the_means():
    found = Robustness(80.0, {"fog": {1: 70.0, 5: 10.0}, "dark": {1: 60.0, 5: 20.0}}, 7)
    table = robustness_table(found, found)
    assert "| camera weather | fog | 70.00 | 10.00 | 40.00 | 50.00 | 100.00 |" in table
    assert "mRR 50.00, mRCE 50.00, mCE 100.00 over 2 corruptions, 7 frames" in table
    assert "| camera light | 1 | 40.00 |" in table


def test_the_page_has_a_line_for_each_corruption_that_starts_clean():
    found = Robustness(80.0, {"fog": {1: 70.0, 5: 10.0}, "dark": {1: 60.0, 5: 20.0}}, 7)
    conditions, families, curves = robustness_sections(found)
    assert conditions.rows[1][:4] == ["camera weather", "fog", 70.0, 10.0]
    assert "mRR 50.00" in conditions.note and families.rows[0] == ["camera weather", 1, 40.0]
    lines = {line.name: line for chart in curves.charts for line in chart.series}
    assert lines["fog"].x == [0, 1, 5] and lines["fog"].y == [80.0, 70.0, 10.0]


def test_a_baseline_of_other_severities_is_refused():
    found = Robustness(80.0, {"fog": {1: 70.0}}, 7)
    with pytest.raises(ConfigError, match="fog was tested there at severities 3, 5, not 1"):
        found.summary(Robustness(80.0, {"fog": {3: 75.0, 5: 70.0}}, 7))
    with pytest.raises(ConfigError, match="--baseline: fog was not tested there$"):
        found.summary(Robustness(80.0, {"dark": {1: 70.0}}, 7))


@pytest.mark.parametrize("key", ["version", "frames", "metric", "seed"])
def test_a_baseline_of_another_test_is_refused(key):
    test = {"version": 4, "frames": [0, 6], "metric": None, "seed": 0, "config": "a"}
    found = Robustness(80.0, {"fog": {1: 70.0}}, 2, test)
    assert found.summary(Robustness(90.0, found.corrupted, 2, {**test, "config": "b"})).mce == 100
    with pytest.raises(ConfigError, match=f"--baseline: is of a test with other {key}$"):
        found.summary(Robustness(80.0, {"fog": {1: 70.0}}, 2, {**test, key: 9}))


def test_a_baseline_of_another_seed_is_refused_before_anything_is_tested(
    trained, tmp_path, monkeypatch
):
    config, checkpoint = trained
    monkeypatch.setattr(robustness._Test, "score", lambda *_: 50.0)
    baseline = evaluate_robustness(config.copy(), checkpoint, tmp_path / "a", ["dark"], [1])
    monkeypatch.setattr(robustness._Test, "score", lambda *_: pytest.fail("tested"))
    with pytest.raises(ConfigError, match="--baseline: is of a test with other seed"):
        evaluate_robustness(
            config.copy(), checkpoint, tmp_path, ["dark"], [1], seed=1, baseline=baseline
        )


def test_more_severities_of_a_baseline_are_left_out():
    found = Robustness(80.0, {"fog": {1: 70.0}}, 7)
    same = found.summary(Robustness(90.0, {"fog": {1: 85.0}}, 7))
    more = {"fog": {5: 3.0, 1: 85.0}, "dark": {1: 2.0}}
    assert found.summary(Robustness(90.0, more, 7)) == same
    assert same.error["fog"] == pytest.approx(200.0)


@pytest.mark.parametrize("corruptions", [["dark"], None])
def test_a_baseline_of_other_severities_is_refused_before_anything_is_tested(
    trained, tmp_path, monkeypatch, corruptions
):
    config, checkpoint = trained
    monkeypatch.setattr(robustness._Test, "score", lambda *_: pytest.fail("tested"))
    baseline = Robustness(80.0, dict.fromkeys(robustness.CORRUPTIONS, {5: 70.0}), 7)
    with pytest.raises(ConfigError, match="was tested there at severities 5, not 1"):
        evaluate_robustness(
            config.copy(), checkpoint, tmp_path, corruptions, [1, 5], baseline=baseline
        )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scores": {"clean": 3}, "test": {}}'])
def test_a_file_that_is_no_baseline_is_one_line(tmp_path, text):
    path = tmp_path / "robustness.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"robustness\.json: is no"):
        read_robustness(path)


def test_the_command_lists_corruptions_and_wants_a_config(capsys):
    assert main(["eval-robustness", "--list"]) == 0
    assert "lidar_fog" in capsys.readouterr().out
    assert main(["eval-robustness"]) == 2
    assert "needs CONFIG and CHECKPOINT" in capsys.readouterr().err


def test_a_metric_that_is_no_pattern_is_told_before_anything_is_tested(trained, tmp_path):
    config, checkpoint = trained
    with pytest.raises(ConfigError, match=r"--metric \(mIoU: is no regular expression"):
        evaluate_robustness(config.copy(), checkpoint, tmp_path, NAMES, metric="(mIoU")
    with pytest.raises(ConfigError, match="--metric"):
        compare([], [], tmp_path / "out", metric="*")


@pytest.mark.parametrize("word", ["-1", "1.5", "x"])
def test_a_seed_that_is_none_is_refused(capsys, word):
    with pytest.raises(SystemExit) as ended:
        main(["eval-robustness", "config", "a.pth", "--seed", word])
    assert ended.value.code == 2
    assert f"{word!r} must be a whole number from 0" in capsys.readouterr().err


def test_the_corrupting_step_is_told_how_the_others_load():
    init_default_scope("mmdet3d")
    load = dict(type="LoadPointsFromFile", coord_type="LIDAR", load_dim=5, use_dim=[0, 1, 2, 4, 3])
    pipeline = [load, dict(type="LoadMultiViewImages"), dict(type="PackSensorInputs", keys=["img"])]
    robustness._insert_corruption(pipeline, 7)
    test = object.__new__(robustness._Test)
    test.dataset = SimpleNamespace(pipeline=Compose(pipeline))
    (step,) = test._steps()
    assert (step.seed, step.intensity, step.channel_order) == (7, 4, "bgr")

"""Rows of a comparison's table: what the runs of a variant gave, and how the score is called."""

from __future__ import annotations

import math

import pytest

from gemini_det3d.apis.comparison.chart import short_names
from gemini_det3d.apis.comparison.page import comparison_sections
from gemini_det3d.apis.comparison.paired import Threshold
from gemini_det3d.apis.comparison.rows import build_rows, score_name, score_title
from gemini_det3d.apis.comparison.table import markdown
from gemini_det3d.apis.config import ConfigError


@pytest.mark.parametrize(
    "metrics, name",
    [
        ({"KITTI/Car/3d_AP40_moderate_0.70": 5.0, "KITTI/Tram/3d_AP40_moderate_0.50": 7.0}, "AP"),
        ({"seg/mIoU": 41.0, "seg/rgb/mIoU": 39.0}, "mIoU"),
        ({"Office metric/mAP": 0.25, "Office metric/NDS": 0.5}, "NDS"),
        ({"Indoor/mAP_0.25": 41.0, "Indoor/mAP_0.50": 20.0}, "mAP_0.25"),
    ],
)
def test_score_is_called_what_it_is_a_mean_of(metrics, name):
    rows = build_rows({"a": [{"seed": 0, "metrics": metrics, "train_minutes": None}]}, {"a": {}})
    assert score_name(rows) == name and f"| variant | {name} |" in markdown(rows)


def test_a_run_whose_score_is_nan_leaves_the_others_their_table():
    runs = [{"metrics": {"seg/mIoU": v}, "train_minutes": 1.0} for v in (math.nan, 40.0, 50.0)]
    broken, whole = build_rows({"a": runs[:2], "b": runs[1:]}, {})
    assert broken.by_seed == {1: 40.0} and broken.per_part == {"seg/mIoU": 40.0}
    assert "seed 0: --metric: nothing to measure seg/mIoU by: NaN" in broken.faults[0]
    assert whole.scores == (40.0, 50.0) and not whole.faults
    (row,) = build_rows({"a": runs[:2]}, {}, threshold=Threshold(30.0))
    assert dict(row.learned) == {0: None, 1: 0} and row.learned_share == 0.5


def test_minutes_are_of_the_trainings_that_were_not_interrupted():
    runs = [{"metrics": {"mAP": 1.0}, "train_minutes": m} for m in (None, 30.0)]
    mean, unknown = build_rows({"a": runs, "b": runs[:1]}, {})
    assert mean.train_minutes == 30.0 and unknown.train_minutes is None


def runs_of(*metrics):
    return [{"metrics": each, "train_minutes": 1.0} for each in metrics]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_run_that_lacks_a_part_that_others_have_has_no_score(broken):
    runs = runs_of({"a/mAP": 9.0, "b/mAP": broken}, {"a/mAP": 1.0, "b/mAP": 3.0})
    (row,) = build_rows({"v": runs}, {})
    assert row.by_seed == {1: 2.0} and row.per_part == {"a/mAP": 1.0, "b/mAP": 3.0}
    assert row.faults == ("seed 0: --metric: nothing to measure b/mAP by: NaN or infinite",)


def test_a_part_that_no_run_of_a_variant_has_is_left_out_and_named():
    runs = runs_of({"a/mAP": 9.0, "b/mAP": math.nan}, {"a/mAP": 1.0, "b/mAP": 3.0})
    first, other = build_rows({"v": runs[:1], "w": runs[1:]}, {})
    assert first.scores == (9.0,) and other.scores == (2.0,)
    assert first.faults == ("not averaged: b/mAP: NaN in every run",) and not other.faults
    (broken,) = build_rows({"v": runs_of({"a/mAP": 9.0, "b/mAP": math.inf})}, {})
    assert not broken.scores and "b/mAP by: NaN or infinite" in broken.faults[0]


def test_a_part_without_truth_in_any_run_does_not_count():
    runs = runs_of({"a/mAP": 9.0, "b/mAP": math.nan}, {"a/mAP": 1.0, "b/mAP": math.nan})
    (row,) = build_rows({"v": runs}, {})
    assert row.scores == (9.0, 1.0) and row.per_part == {"a/mAP": 5.0} and not row.faults


def test_a_metric_or_loss_that_one_variant_lacks_is_its_fault_alone():
    runs = {"v": runs_of({"a/mAP": 9.0}), "w": runs_of({"b/mIoU": 9.0})}
    runs["v"][0]["losses"] = {"loss": [1.0]}
    first, other = build_rows(runs, {}, "mAP$", Threshold.parse("5,loss_cls<2"))
    assert first.scores == (9.0,) and dict(first.learned) == {0: 0}
    assert first.faults == ("seed 0: --learned: no loss 'loss_cls'; there are loss",)
    assert other.faults == ("seed 0: --metric: nothing fits; a test gave b/mIoU",)
    with pytest.raises(ConfigError, match="nothing fits; a test gave a/mAP"):
        build_rows(runs, {}, "NDS")


def test_p_values_are_corrected_for_the_number_of_variants():
    runs = {n: runs_of(*({"a/mAP": s + k * d} for k in range(6))) for n, s, d in
            (("v", 0, 0), ("w", 1, 0.1), ("x", 1, 0.2))}  # fmt: skip
    _, w, x = build_rows(runs, {})
    assert w.paired.p_value == x.paired.p_value == 2 / 64
    assert w.paired.p_holm == x.paired.p_holm == 4 / 64


def test_unmeasured_variant_is_said_to_be():
    rows = build_rows({"a": []}, {"a": "no CUDA"})
    assert "- a: not measured: no CUDA" in markdown(rows) and rows[0].parameters is None


def test_chart_names_what_tells_variants_apart():
    names = ["mvxnet_lidar-only_1xb2-toy_look-alikes-3class", "mvxnet-SumFusion", "mvxnet-Other"]
    short = short_names(names)
    assert short[1:] == ["SumFusion", "Other"]
    assert short[0].replace("\n", "") == names[0]
    assert max(map(len, short[0].splitlines())) <= 30


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["small-map", "small-cross", "large-map", "large-cross"], None),
        (["a-map-0.1", "a-map-0.5", "a-cross-0.1", "a-cross-0.5"],
         ["map-0.1", "map-0.5", "cross-0.1", "cross-0.5"]),
        (["toy-1e-3", "toy-1e-4"], ["1e-3", "1e-4"]),
    ],
)  # fmt: skip
def test_chart_calls_no_two_variants_alike(names, short):
    assert short_names(names) == (short or names)


@pytest.mark.parametrize("key", ["translation/MAE", "translation/KID_filter-bank", "x metric/mATE"])
def test_of_an_error_less_is_learned_and_it_is_no_percent(key):
    threshold = Threshold(0.2)
    rows = build_rows({"a": runs_of({key: 0.1}, {key: 0.3})}, {}, f"{key}$", threshold)
    assert dict(rows[0].learned) == {0: 0, 1: None}
    assert score_title(rows) == key.rpartition("/")[2]
    assert "learned: 0.2 or less." in markdown(rows, threshold)
    table, charts = comparison_sections(rows, threshold)[:2]
    assert "percent" not in table.note and "0.2 or less" in table.note
    assert charts.charts[0].y_title == score_title(rows)


def test_of_a_score_more_is_learned_and_it_is_in_percent():
    rows = build_rows(
        {"a": runs_of({"seg/mIoU": 10.0}, {"seg/mIoU": 30.0})}, {}, None, Threshold(20)
    )
    assert dict(rows[0].learned) == {0: None, 1: 0} and score_title(rows) == "mIoU in percent"
    assert "learned: 20 or more." in markdown(rows, Threshold(20))

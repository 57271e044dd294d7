"""mCE and mRR as published, from published scores."""

from __future__ import annotations

import math

import pytest

from gemini_det3d.corruptions import robustness_scores

NAMES = ("crash", "frame lost", "quantised", "motion", "bright", "dark", "fog", "snow")
# RoboBEV's table, NDS clean and under eight corruptions; DETR3D is its baseline. (BEVFormer Small
# is left out: its published mCE, 101.23, does not follow from its own row, which gives 102.40.)
DETR3D = (0.4224, 0.2859, 0.2604, 0.3177, 0.2661, 0.4002, 0.2786, 0.3912, 0.1913)
PUBLISHED = [
    ("DETR3D", 100.00, 70.77, DETR3D),
    (
        "BEVFormer Base",
        97.97,
        60.40,
        (0.5174, 0.3154, 0.3017, 0.3509, 0.2695, 0.4184, 0.2515, 0.4069, 0.1857),
    ),
    (
        "PETR R50",
        111.01,
        61.26,
        (0.3665, 0.2320, 0.2166, 0.2472, 0.2299, 0.2841, 0.1571, 0.2876, 0.1417),
    ),
]


def by_name(row):
    return {name: [score] for name, score in zip(NAMES, row[1:])}


@pytest.mark.parametrize(("model", "mce", "mrr", "row"), PUBLISHED)
def test_published_means_are_recomputed(model, mce, mrr, row):
    scores = robustness_scores(row[0], by_name(row), by_name(DETR3D))
    assert scores.mce == pytest.approx(mce, abs=0.006)
    assert scores.mrr == pytest.approx(mrr, abs=0.006)
    assert scores.mrce == pytest.approx(100 - mrr, abs=0.006)


def test_severities_are_averaged_before_they_are_compared():
    scores = robustness_scores(0.8, {"fog": [0.6, 0.2]}, {"fog": [0.5, 0.5]})
    assert scores.error["fog"] == pytest.approx(100 * 0.6 / 0.5)
    assert scores.resilience["fog"] == pytest.approx(50)
    assert scores.loss["fog"] == pytest.approx(50)


def test_without_a_baseline_there_is_no_corruption_error():
    assert math.isnan(robustness_scores(0.8, {"fog": [0.6]}).mce)


def test_percentages_and_missing_rows_are_refused():
    with pytest.raises(ValueError, match="fog: scores .* must be shares"):
        robustness_scores(0.8, {"fog": [60.0]})
    with pytest.raises(ValueError, match="baseline has no scores of .'snow'"):
        robustness_scores(0.8, {"snow": [0.6]}, {"fog": [0.6]})

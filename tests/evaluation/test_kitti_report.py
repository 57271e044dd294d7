"""Flat keys, tables, and the reasons for zeros."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kitti_reference import random_set

from gemini_det3d.evaluation import evaluate_kitti
from gemini_det3d.formats.kitti import Objects


def objects(rows, score=None) -> Objects:
    """Rows of (name, height in pixels, occluded, truncated), 30 m apart."""
    count = len(rows)
    index = np.arange(count)
    height = np.array([row[1] for row in rows], dtype=float)
    return Objects(
        name=[row[0] for row in rows],
        truncated=[row[3] for row in rows],
        occluded=[row[2] for row in rows],
        alpha=np.full(count, 0.2),
        bbox=np.column_stack([index * 99, 0 * height, index * 99 + 70, height]),
        dimensions=np.tile([1.5, 1.7, 4.0], (count, 1)),
        location=np.column_stack([0 * height, 0 * height + 1.6, 30.0 * index + 9]),
        rotation_y=np.full(count, 0.1),
        score=None if score is None else np.full(count, score),
    )


TRUTH = objects(
    [
        ("Car", 60, 0, 0.0),
        ("Car", 20, 0, 0.0),
        ("Car", 60, 3, 0.0),
        ("Car", 20, 3, 0.9),
        ("Van", 60, 0, 0.0),
        ("DontCare", 60, -1, -1),
    ]
)


def test_keys_name_class_metric_average_difficulty_and_overlap():
    figures = evaluate_kitti([TRUTH], [objects([], 0.5)], ("Car", "Van")).as_dict()
    assert "Car/3d_AP40_moderate_0.70" in figures
    assert "Van/bbox_AP11_easy_0.70" in figures
    assert "mean/aos_AP40_hard" in figures
    # Six rows of metric and overlap for each class, and four means.
    assert len(figures) == (2 * 6 + 4) * 3 * 2


def test_mean_is_over_classes_that_have_boxes_at_their_strictest_overlap():
    truth, found = random_set(seed=1, num_frames=31)
    result = evaluate_kitti(truth, found, ("Car", "Pedestrian", "Tram"))
    figures = result.as_dict()
    known = [figures["Car/3d_AP40_hard_0.70"], figures["Pedestrian/3d_AP40_hard_0.50"]]
    assert figures["mean/3d_AP40_hard"] == pytest.approx(np.mean(known))
    assert math.isnan(evaluate_kitti(truth, found, ("Tram",)).as_dict()["mean/3d_AP40_hard"])


def test_only_the_metrics_asked_for_are_reported():
    result = evaluate_kitti([TRUTH], [TRUTH.select([])], ("Car",), metrics=("3d",))
    assert {score.metric for score in result.scores} == {"3d"}
    assert {key.split("/")[1].split("_")[0] for key in result.as_dict()} == {"3d"}


def test_find_names_what_it_does_not_find():
    result = evaluate_kitti([], [], ("Car",))
    with pytest.raises(KeyError, match="no Car 3d easy at 0.6"):
        result.find("Car", "3d", "easy", 0.6)


def test_a_result_says_what_truth_and_detections_hold():
    result = evaluate_kitti([TRUTH], [objects([("Tram", 60, 0, 0)], 0.5)], ("Car",))
    assert result.truth_names == {"Car": 4, "Van": 1, "DontCare": 1}
    title = result.table().splitlines()[0]
    assert title == (
        "KITTI evaluation of 1 frames: truth: 4 Car, 1 Van, 1 DontCare; detections: 1 Tram"
    )


def test_boxes_are_counted_by_their_own_class():
    found = objects([("Car", 60, 0, 0), ("Van", 20, 0, 0)], 0.5)
    result = evaluate_kitti([TRUTH], [found], ("Car", "Van"))
    car, van = (c for c in result.census if c.difficulty == "easy")
    assert (car.num_truth, car.num_low, car.num_occluded, car.num_truncated) == (4, 2, 2, 1)
    assert (van.num_truth, van.num_low, van.num_occluded, van.num_truncated) == (1, 0, 0, 0)
    assert (car.num_detections, car.num_low_detections) == (1, 0)
    assert (van.num_detections, van.num_low_detections) == (1, 1)
    assert (car.num_neighbours, van.num_neighbours) == (1, 0)


def test_the_table_is_aligned_and_shows_every_figure():
    truth, found = random_set(seed=2, num_frames=29)
    result = evaluate_kitti(truth, found, ("Car", "Person_sitting"))
    lines = result.table().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("class"))
    header = lines[start]
    rows = [line for line in lines[start:] if line.startswith(("Car", "Person_sitting"))]
    assert len(rows) == 2 * (6 + 1)
    assert {len(row) for row in rows} == {len(header)}
    score = result.find("Car", "bev", "moderate", 0.5)
    row = next(row.split() for row in rows if row.split()[:3] == ["Car", "bev", "0.50"])
    assert row[4].rstrip("*") == f"{score.ap40:.2f}"
    assert row[7].rstrip("*") == f"{score.ap11:.2f}"


def test_the_markdown_table_has_as_many_cells_in_every_row():
    truth, found = random_set(seed=2, num_frames=29)
    text = evaluate_kitti(truth, found).table(markdown=True)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3 * (6 + 1)
    assert {row.count("|") for row in rows} == {10}
    assert "\\*: fewer than 41 valid boxes" in text


def test_a_figure_that_the_devkit_would_lower_is_marked_and_explained():
    found = objects([("Car", 60, 0, 0)], 0.5)
    text = evaluate_kitti([TRUTH], [found], ("Car",)).table()
    assert "100.00*" in text
    assert "*: fewer than 41 valid boxes" in text
    text = evaluate_kitti([TRUTH], [found], ("Car",), recall="devkit").table()
    assert "*" not in text


def test_result_says_which_recall_was_used_and_whether_it_may_be_compared():
    found = objects([("Car", 60, 0, 0)], 0.5)
    by_definition = evaluate_kitti([TRUTH], [found], ("Car",))
    by_kit = evaluate_kitti([TRUTH], [found], ("Car",), recall="devkit")
    assert (by_definition.recall_rule, by_kit.recall_rule) == ("definition", "devkit")
    assert not by_definition.is_comparable and by_kit.is_comparable
    assert "comparable with published figures" in by_kit.table()
    assert "comparable with published figures" not in by_definition.table()
    assert "may not be compared with published ones" in by_definition.table()


def test_many_boxes_are_comparable_whichever_recall_was_asked_for():
    truth, found = random_set(seed=5, num_frames=400)
    result = evaluate_kitti(truth, found, ("Car",))
    assert min(score.num_truth for score in result.scores) >= 41 and result.is_comparable


def test_a_zero_says_how_many_boxes_were_ignored_and_why_and_how_close_it_came():
    found = objects([("Car", 60, 0, 0), ("Car", 10, 0, 0)], 0.5)
    found.location[0, 2] += 1.0
    lines = evaluate_kitti([TRUTH], [found], ("Car",)).explain()
    assert len(lines) == 3
    assert lines[1].startswith("Car (moderate): AP 0 in bev@0.70 (best IoU 0.")
    assert "3d@0.70 (best IoU 0." in lines[1]
    assert "bbox" not in lines[1]
    assert lines[1].endswith(
        "Truth: 1 of 4 boxes count, 3 ignored (2 not higher than 25 px, 2 occluded beyond 1, "
        "1 truncated beyond 0.30), 1 of a neighbouring class (Van) ignored. "
        "Detections: 2, 1 ignored (lower than 25 px)."
    )


def test_difficulties_with_the_same_reasons_share_a_line():
    truth = objects([("Car", 60, 0, 0)])
    lines = evaluate_kitti([truth], [objects([], 0.5)], ("Car",)).explain()
    assert lines == [
        "Car (easy, moderate, hard): AP 0, nothing was detected. "
        "Truth: 1 of 1 boxes count. Detections: no Car (they hold: nothing)."
    ]


def test_a_class_without_boxes_is_not_available_rather_than_zero():
    result = evaluate_kitti([TRUTH], [objects([("Car", 60, 0, 0)], 0.5)], ("Tram",))
    assert result.explain() == [
        "Tram (easy, moderate, hard): n/a (0 valid boxes). "
        "Truth: no Tram (it holds: 4 Car, 1 Van, 1 DontCare). "
        "Detections: no Tram (they hold: 1 Car)."
    ]
    row = next(
        line for line in result.table().splitlines() if line.startswith("Tram") and "3d" in line
    )
    assert row.split()[3:] == ["n/a"] * 6


def test_detections_without_a_3d_size_are_counted():
    found = objects([("Car", 60, 0, 0)], 0.5)
    found.dimensions[:] = -1
    lines = evaluate_kitti([TRUTH], [found], ("Car",)).explain()
    assert all(line.endswith("Detections: 1, 1 without a 3D size.") for line in lines)


def test_missing_observation_angles_are_counted():
    found = objects([("Car", 60, 0, 0)], 0.5)
    found.alpha[:] = -10
    (line,) = evaluate_kitti([TRUTH.select([0])], [found], ("Car",)).explain()
    assert "aos n/a (1 detections without an orientation, alpha -10)" in line


def test_nothing_is_explained_where_nothing_is_wrong():
    truth = TRUTH.select([0])
    found = objects([("Car", 60, 0, 0)], 0.5)
    assert evaluate_kitti([truth], [found], ("Car",)).explain() == []

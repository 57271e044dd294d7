"""AP by distance: each ring judges what lies in it, and a box at its edge keeps its detection."""

import numpy as np
import pytest

from gemini_det3d.evaluation.functional import evaluate_kitti
from gemini_det3d.evaluation.functional.kitti_distance import evaluate_by_distance
from gemini_det3d.formats.kitti import Objects


def cars(distances, scores=None) -> Objects:
    n = len(distances)
    zeros, location = np.zeros(n), np.array([[0.0, 1.5, z] for z in distances]).reshape(n, 3)
    return Objects(
        ["Car"] * n, zeros, zeros, zeros, np.tile([0.0, 0, 90, 90], (n, 1)),
        np.tile([1.5, 1.7, 4.0], (n, 1)), location, zeros,
        None if scores is None else np.array(scores, dtype=float),
    )  # fmt: skip


def aps(truth, found, edges) -> list[float]:
    rings = evaluate_by_distance([truth], [found], ["Car"], edges)
    return [each.find("Car", "3d", "easy").ap40 for *_, each in rings]


def test_ring_with_all_found_has_100_and_one_with_none_has_0():
    truth, found = cars([5, 10, 20, 25]), cars([5, 10], [0.9, 0.8])
    np.testing.assert_allclose(aps(truth, found, (0, 15, 30, 45)), [100, 0, np.nan])


def test_false_alarm_counts_in_its_own_ring_alone():
    truth, found = cars([10, 20]), cars([10, 20, 27], [0.5, 0.5, 0.9])
    near, far = aps(truth, found, (0, 15, 30))
    assert near == 100 and far < 100


def test_detection_beyond_the_edge_belongs_to_the_box_that_it_finds():
    truth, found = cars([14.9]), cars([15.1], [0.9])
    near, far = aps(truth, found, (0, 15, 30))
    assert near == 100 and np.isnan(far)
    rings = evaluate_by_distance([truth], [found], ["Car"], (0, 15, 30))
    assert [each.find("Car", "3d", "easy").num_truth for *_, each in rings] == [1, 0]


def test_one_ring_around_all_is_the_whole_evaluation():
    rng = np.random.default_rng(0)
    truth = [cars(rng.uniform(5, 60, 5)) for _ in range(7)]
    found = [cars(t.location[:4, 2] + rng.normal(0, 0.3, 4), rng.uniform(size=4)) for t in truth]
    ((*_, ring),) = evaluate_by_distance(truth, found, ["Car"], (0, 1e9))
    whole = evaluate_kitti(truth, found, ["Car"], metrics=("3d",))
    assert ring.as_dict() == whole.as_dict() and ring.find("Car", "3d", "easy").ap40 > 0


def test_frames_without_detections_or_truth_are_evaluated():
    assert np.isnan(aps(cars([]), cars([], []), (0, 15))[0])
    assert aps(cars([9]), cars([], []), (0, 15)) == [0]


def test_frames_that_are_not_equally_many_are_refused_as_by_the_whole_evaluation():
    truth, found = [cars([5])] * 3, [cars([5], [0.9])] * 2
    for evaluate in (evaluate_kitti, evaluate_by_distance):
        with pytest.raises(ValueError, match="3 frames of truth but 2 of detections"):
            evaluate(truth, found, ["Car"])

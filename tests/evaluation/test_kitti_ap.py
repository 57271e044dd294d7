"""KITTI's figures against a slow reference, against mmdet3d, and by hand."""

from __future__ import annotations

import math
import sys
import types
import warnings

import numpy as np
import pytest
from kitti_cars import cars, evaluate, join
from kitti_reference import as_detections, random_set, reference_ap, without_overlaps

from gemini_det3d.evaluation import evaluate_kitti
from gemini_det3d.evaluation.functional.kitti_rules import min_overlaps_of
from gemini_det3d.formats.kitti import Objects
from gemini_det3d.ops.rotated_iou import bev_iou


@pytest.mark.parametrize("metric", ["bbox", "aos", "bev", "3d"])
def test_figures_equal_the_slow_reference(metric):
    pytest.importorskip("shapely")
    truth, found = random_set(seed=3, num_frames=73)
    result = evaluate_kitti(truth, found, recall="devkit")
    scores = [score for score in result.scores if score.metric == metric]
    counts = [score.num_truth for score in scores]
    assert min(counts) < 41 < max(counts)
    expected = [
        reference_ap(truth, found, s.class_name, metric, s.difficulty, s.min_overlap)
        for s in scores
    ]
    got = [(score.ap11, score.ap40) for score in scores]
    assert 1 < np.ptp(expected) < 99
    np.testing.assert_allclose(got, expected, atol=1e-10)


def as_annotation(objects: Objects) -> dict:
    """One frame as mmdet3d's evaluation wants it."""
    fields = {name: getattr(objects, name) for name in Objects.__dataclass_fields__}
    fields["dimensions"] = objects.dimensions[:, [2, 0, 1]]
    return fields if objects.score is not None else {**fields, "score": np.zeros(len(objects))}


def exact_rotated_overlap(boxes, queries, criterion=-1):
    """mmdet3d's CUDA kernel: IoU, or the shared area, of (x, z, length, width, rotation_y)."""
    sign = np.array([1, 1, 1, 1, -1.0])
    iou = bev_iou(boxes * sign, queries * sign)
    if criterion == -1:
        return iou
    areas = [b[:, 2] * b[:, 3] for b in (boxes, queries)]
    return iou * (areas[0][:, None] + areas[1][None]) / (1 + iou)


@pytest.mark.parametrize(
    "metrics", [["bbox"], pytest.param(["bbox", "bev", "3d"], marks=pytest.mark.slow)]
)
def test_figures_equal_those_of_mmdet3d_given_an_exact_overlap(metrics, monkeypatch):
    kitti_eval = pytest.importorskip("mmdet3d.evaluation").kitti_eval
    stand_in = types.ModuleType("rotate_iou")
    stand_in.rotate_iou_gpu_eval = exact_rotated_overlap
    package = "mmdet3d.evaluation.functional.kitti_utils"
    monkeypatch.setitem(sys.modules, f"{package}.rotate_iou", stand_in)
    frames = [pair for pair in zip(*random_set(seed=5, num_frames=199)) if all(map(len, pair))]
    truth, found = zip(*frames)
    classes = ["Car", "Pedestrian", "Cyclist"]
    _, expected = kitti_eval(
        [as_annotation(t) for t in truth],
        [as_annotation(d) for d in found],
        classes,
        eval_types=list(metrics),
    )
    result = evaluate_kitti(truth, found, classes, recall="devkit")
    words = {"2D": "bbox", "BEV": "bev", "3D": "3d"}
    for key, value in expected.items():
        name, metric, count, level, *rest = key.removeprefix("KITTI/").split("_")
        if name == "Overall":
            got = result.as_dict(devkit=True)[f"mean/{words[metric]}_{count}_{level}"]
        else:
            overlaps = min_overlaps_of(name)[words[metric]]
            overlap = overlaps[0] if rest == ["strict"] else overlaps[-1]
            got = getattr(result.find(name, words[metric], level, overlap), count.lower())
        assert got == pytest.approx(value, abs=1e-6), key
    # Three classes strict and loose and their mean, three difficulties, two averages.
    assert len(expected) >= len(metrics) * (3 + 1) * 3 * 2


@pytest.mark.parametrize("scores", ["distinct", "equal"])
def test_truth_as_detections_gives_100_wherever_a_box_counts(scores):
    pytest.importorskip("shapely")
    truth = without_overlaps(random_set(seed=7, num_frames=61)[0])
    classes = ("Car", "Pedestrian", "Cyclist", "Van", "Truck", "Person_sitting")
    result = evaluate_kitti(truth, as_detections(truth, scores), classes)
    assert {score.num_truth >= 41 for score in result.scores} == {True, False}
    for score in result.scores:
        expected = 100.0 if score.num_truth else math.nan
        np.testing.assert_equal((score.ap11, score.ap40), (expected, expected))


@pytest.mark.parametrize("scores", ["distinct", "equal"])
@pytest.mark.parametrize("count", [1, 2, 3, 20, 39, 40, 41, 42, 43, 59, 80, 81, 997])
def test_truth_as_detections_gives_100_for_any_number_of_boxes(count, scores):
    truth = [cars(count)]
    result = evaluate_kitti(truth, as_detections(truth, scores), ["Car"])
    assert {(score.ap11, score.ap40) for score in result.scores} == {(100.0, 100.0)}


def test_an_ignored_box_may_take_the_detection_of_a_box_that_it_covers_as_in_the_devkit():
    truth = join(cars(1, occluded=[3]), cars(1))
    found = as_detections([truth])[0].select([1])
    assert evaluate(truth, found).find("Car", "3d", "hard").ap40 == 0.0
    assert evaluate(truth.select([1, 0]), found).find("Car", "3d", "hard").ap40 == 100.0


@pytest.mark.parametrize("count", [1, 2, 5, 13, 40])
def test_devkit_sampling_gives_each_box_one_recall_position(count):
    truth = [cars(count)]
    result = evaluate_kitti(truth, as_detections(truth), ["Car"], recall="devkit")
    score = result.find("Car", "3d", "easy")
    assert score.ap40 == pytest.approx(100 * (count - 1) / 40)
    assert score.ap11 == pytest.approx(100 * ((count - 1) // 4 + 1) / 11)


def test_devkit_figures_come_with_the_default_ones():
    truth, found = random_set(seed=9, num_frames=53)
    default, devkit = evaluate_kitti(truth, found), evaluate_kitti(truth, found, recall="devkit")
    assert default.as_dict(devkit=True) == pytest.approx(devkit.as_dict())
    few = [s for s in default.scores if s.num_truth < 41]
    many = [s for s in default.scores if s.num_truth >= 41]
    assert few and many
    assert any(score.is_short for score in few)
    assert not any(score.is_short for score in many)


def test_below_41_boxes_ap_is_the_mean_of_the_best_precision_at_or_beyond_each_recall():
    rng = np.random.default_rng(11)
    for num_boxes in (1, 2, 7, 23, 40):
        scores, is_hit = rng.permutation(3 * num_boxes) + 1.0, rng.random(3 * num_boxes) < 0.4
        hits = np.flatnonzero(is_hit)[:num_boxes]
        is_hit = np.isin(np.arange(3 * num_boxes), hits)
        truth = cars(num_boxes)
        found = cars(3 * num_boxes, score=scores)
        found.bbox[~is_hit] += [0, 500, 0, 500]
        found.bbox[hits] = truth.bbox[: len(hits)]
        order = np.argsort(-scores)
        found_so_far = np.cumsum(is_hit[order])
        precision, recall = found_so_far / np.arange(1, 3 * num_boxes + 1), found_so_far / num_boxes
        # The rank of a recall position is a whole number of boxes: compare without rounding.
        best = [
            precision[recall * 40 >= k - 1e-9].max(initial=0.0) if hits.size else 0.0
            for k in range(41)
        ]
        score = evaluate(truth, found).find("Car", "bbox", "hard")
        assert score.ap40 == pytest.approx(100 * np.mean(best[1:]))
        assert score.ap11 == pytest.approx(100 * np.mean(best[::4]))


def test_a_false_alarm_between_two_hits_costs_what_is_computed_by_hand():
    found = cars(3, score=[0.9, 0.8, 0.7])
    found.bbox[1] += [0, 500, 0, 500]
    found.bbox[2] = cars(2).bbox[1]
    score = evaluate(cars(2), found).find("Car", "bbox", "easy")
    assert score.ap40 == pytest.approx(100 * (20 * 1 + 20 * 2 / 3) / 40)
    assert score.ap11 == pytest.approx(100 * (6 * 1 + 5 * 2 / 3) / 11)


def test_a_box_found_twice_counts_once_and_the_second_is_a_false_alarm():
    truth, found = cars(1), join(cars(1, score=0.6), cars(1, score=0.9))
    assert evaluate(truth, found).find("Car", "3d", "easy").ap40 == pytest.approx(100.0)
    late = join(cars(2, score=0.9).select([0]), cars(1, score=0.8), cars(2, score=0.7).select([1]))
    assert evaluate(cars(2), late).find("Car", "3d", "easy").curve[40] == pytest.approx(2 / 3)


@pytest.mark.parametrize("side", ["truth", "found"])
def test_without_observation_angles_the_orientation_is_not_available(side):
    frames = {"truth": cars(2), "found": cars(2, score=0.5)}
    frames[side].alpha[:] = -10
    result = evaluate(frames["truth"], frames["found"])
    assert math.isnan(result.find("Car", "aos", "easy").ap40)
    assert result.find("Car", "bbox", "easy").ap40 == 100.0


def test_any_class_name_is_evaluated_whatever_its_case():
    names = ("Van", "Truck", "Misc", "Tram", "E-Scooter")
    for name in names:
        truth, found = cars(3, name=name), cars(3, name=name.upper(), score=0.5)
        score = evaluate(truth, found, names).find(name, "3d", "easy")
        assert score.ap40 == 100.0
        assert score.min_overlap == (0.7 if name in ("Van", "Truck") else 0.5)


@pytest.mark.parametrize(
    "truth, found, expected",
    [
        ([], [], math.nan),
        ([Objects.empty()], [Objects.empty(True)], math.nan),
        ([Objects.empty()], [cars(2, score=0.5)], math.nan),
        ([cars(2)], [Objects.empty(True)], 0.0),
        ([cars(2), Objects.empty()], [cars(2, score=0.5), Objects.empty(True)], 100.0),
        ([Objects.empty(), cars(2)], [cars(1, score=0.4), cars(2, score=0.5)], 100.0),
        ([cars(2), cars(2)], [Objects.empty(True), cars(2, score=0.5)], 50.0),
        ([cars(2, name="DontCare")], [cars(2, score=0.5)], math.nan),
    ],
)
def test_empty_frames_give_right_numbers_without_a_warning(truth, found, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate(truth, found, ("Car", "Unheard_of"))
        result.table(), result.explain(), result.as_dict()
    np.testing.assert_equal(result.find("Car", "3d", "easy").ap40, expected)
    assert math.isnan(result.find("Unheard_of", "3d", "easy").ap40)


def test_frames_may_come_in_any_order():
    truth, found = random_set(seed=13, num_frames=47, digits=9)
    order = np.random.default_rng(0).permutation(47)
    shuffled = evaluate_kitti([truth[i] for i in order], [found[i] for i in order])
    expected = evaluate_kitti(truth, found).as_dict()
    assert shuffled.as_dict() == pytest.approx(expected, nan_ok=True)


def test_inputs_are_left_as_they_were():
    truth, found = random_set(seed=15, num_frames=5)
    before = repr((truth, found))
    evaluate_kitti(truth, found)
    assert repr((truth, found)) == before


@pytest.mark.parametrize(
    "spec, expected",
    [
        (0.6, {"bbox": (0.6,), "bev": (0.6,), "3d": (0.6,)}),
        ((0.7, 0.5, 0.4), {"bbox": (0.7,), "bev": (0.5,), "3d": (0.4,)}),
        ([(0.7, 0.7, 0.7), (0.7, 0.5, 0.5)], {"bbox": (0.7,), "bev": (0.7, 0.5), "3d": (0.7, 0.5)}),
    ],
)
def test_own_overlaps_are_taken_in_the_order_given(spec, expected):
    overlaps = min_overlaps_of("Bus", {"bus": spec, "Car": 0.3})
    assert overlaps == {**expected, "aos": expected["bbox"]}


def test_an_own_overlap_decides_what_is_found():
    found = cars(3, score=0.5)
    found.location[:, 0] += 0.5 * np.cos(0.3)
    found.location[:, 2] -= 0.5 * np.sin(0.3)  # half a metre of 4.1 along
    found.location[:, 1] += 0.15  # a tenth of the height: IoU 0.65
    assert evaluate(cars(3), found).find("Car", "3d", "easy").ap40 == 0.0
    easier = evaluate(cars(3), found, min_overlaps={"Car": 0.6})
    assert easier.find("Car", "3d", "easy", 0.6).ap40 == 100.0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"truth": []}, "0 frames of truth but 1 of detections"),
        ({"detections": [cars(1)]}, "frame 0: detections need finite scores"),
        ({"detections": [cars(1, score=math.nan)]}, "frame 0: detections need finite scores"),
        ({"classes": ("Car", "CAR")}, "classes must be distinct names"),
        ({"classes": "Car"}, "classes must be distinct names"),
        ({"classes": ("DontCare",)}, "DontCare marks regions"),
        ({"metrics": ("2d",)}, r"metrics must be some of \('bbox', 'aos', 'bev', '3d'\)"),
        ({"recall": "coco"}, "got 'coco'"),
        ({"min_overlaps": {"Car": (0.5, 0.5)}}, r"min_overlaps\['Car'\] is \(0.5, 0.5\)"),
        ({"min_overlaps": {"Car": 0.0}}, "overlaps lie between 0 and 1"),
    ],
)
def test_a_wrong_argument_is_named(options, message):
    arguments = {
        "truth": [cars(1)],
        "detections": [cars(1, score=0.5)],
        "classes": ("Car",),
        **options,
    }
    with pytest.raises(ValueError, match=message):
        evaluate_kitti(**arguments)

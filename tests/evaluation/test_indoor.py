"""AP of boxes in rooms: against mmdet3d's own functions, by hand, and from files."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch
from mmdet3d.evaluation import indoor_eval
from mmdet3d.structures import Box3DMode, DepthInstance3DBoxes

from gemini_det3d.apis.sunrgbd.evaluate import evaluate_room_files
from gemini_det3d.cli import main
from gemini_det3d.evaluation.functional.indoor import (
    average_precision,
    evaluate_indoor,
    sample_curve,
)
from gemini_det3d.evaluation.metrics import IndoorDetectionMetric
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.sunrgbd import (
    RoomCalibration,
    RoomObjects,
    frame_info,
    read_results,
    write_infos,
    write_labels,
    write_results,
)

CLASSES = ("bed", "chair", "desk")


def rooms(num_frames, seed=0, noise=0.15):
    """Truth of some frames, and detections that are off by a little, with some inventions."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(num_frames):
        count = int(rng.integers(0, 6))
        boxes = np.column_stack(
            [rng.uniform(-2, 2, (count, 3)), rng.uniform(0.5, 1.5, (count, 3)),
             rng.uniform(-3, 3, count)]
        )  # fmt: skip
        names = rng.choice(CLASSES, count)
        truth.append(RoomObjects(names, boxes, bbox=np.tile([3.0, 5, 11, 17], (count, 1))))
        again = np.repeat(np.arange(count), 2)
        moved = boxes[again] + rng.normal(0, noise, (2 * count, 7))
        labels = np.where(rng.random(2 * count) < 0.8, names[again], "chair")
        found.append(RoomObjects(labels, moved, rng.random(2 * count)))
    return truth, found


def as_mmdet3d(objects, with_scores):
    labels = torch.tensor([CLASSES.index(name) for name in objects.names], dtype=torch.long)
    boxes = DepthInstance3DBoxes(torch.from_numpy(objects.boxes).float(), origin=(0.5, 0.5, 0.5))
    if with_scores:
        scores = torch.from_numpy(objects.scores)
        return dict(labels_3d=labels, bboxes_3d=boxes, scores_3d=scores)
    return dict(gt_bboxes_3d=boxes, gt_labels_3d=labels.numpy())


def numpy_takes_arrays_of_one_as_numbers() -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(np.ones(1)) == 1
    except TypeError:  # numpy 2.5
        return False


@pytest.mark.skipif(
    not numpy_takes_arrays_of_one_as_numbers(),
    reason="mmdet3d's indoor_eval calls float() on arrays of one value, which this numpy refuses",
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_indoor_figures_are_those_of_mmdet3d(seed):
    truth, found = rooms(23, seed)
    theirs = indoor_eval(
        [as_mmdet3d(objects, False) for objects in truth],
        [as_mmdet3d(objects, True) for objects in found],
        [0.25, 0.5],
        CLASSES,
        box_mode_3d=Box3DMode.DEPTH,
    )
    ours = evaluate_indoor(truth, found, CLASSES).as_dict()
    assert {key: value / 100 for key, value in ours.items()} == pytest.approx(theirs, abs=1e-6)
    assert 5 < ours["mAP_0.25"] < 95


def test_indoor_truth_as_detections_gives_100():
    truth, _ = rooms(13)
    perfect = [RoomObjects(t.names, t.boxes, np.ones(len(t))) for t in truth]
    figures = evaluate_indoor(truth, perfect, CLASSES).as_dict()
    assert list(figures.values()) == pytest.approx([100.0] * len(figures))


def test_indoor_second_detection_of_a_box_is_wrong():
    box = np.array([[0.0, 0, 0, 1, 1, 1, 0]])
    truth = [RoomObjects(["bed"], box)]
    found = [RoomObjects(["bed"] * 2, np.repeat(box, 2, axis=0), [0.3, 0.9])]
    other = [RoomObjects(["bed"], box), RoomObjects(["bed"], box + [9, 0, 0, 0, 0, 0, 0])]
    late = [found[0], RoomObjects(["bed"], other[1].boxes, [0.2])]
    assert evaluate_indoor(truth, found, ("bed",)).as_dict()["bed_AP_0.50"] == 100
    # right (0.9), wrong (0.3), right (0.2): recall 1/2 at precision 1, then 1 at precision 2/3.
    expected = 100 * (0.5 + 0.5 * 2 / 3)
    assert evaluate_indoor(other, late, ("bed",)).as_dict()["bed_AP_0.50"] == pytest.approx(
        expected
    )


def test_average_precision_by_hand():
    right = np.array([True, False, True, False, False])
    assert average_precision(right, 4) == pytest.approx((0.25 * 1 + 0.25 * 2 / 3, 0.5))
    assert average_precision(np.zeros(0, bool), 3) == (0.0, 0.0)
    assert all(math.isnan(value) for value in average_precision(right, 0))


def test_indoor_class_without_truth_is_left_out_of_the_mean_and_explained():
    truth, _ = rooms(7)
    perfect = [RoomObjects(t.names, t.boxes, np.ones(len(t))) for t in truth]
    result = evaluate_indoor(truth, perfect, (*CLASSES, "toilet"))
    assert result.as_dict()["mAP_0.25"] == pytest.approx(100)
    assert math.isnan(result.as_dict()["toilet_AP_0.25"])
    assert any("toilet: no truth" in line for line in result.explain())


def test_indoor_explains_how_far_detections_came():
    box = np.array([[0.0, 0, 0, 1, 1, 1, 0]])
    truth = [RoomObjects(np.array(["bed", "chair", "desk"]), np.repeat(box, 3, axis=0))]
    beside = box + np.array([9.0, 0, 0, 0, 0, 0, 0])
    found = [RoomObjects(np.array(["bed", "desk"]), np.concatenate([beside, box]),
                         np.array([0.5, 0.5]))]  # fmt: skip
    assert evaluate_indoor(truth, found, CLASSES).explain() == [
        "bed: 1 detections, 1 boxes, no overlap above 0.25",
        "chair: 1 boxes, not one detection",
    ]


def test_indoor_explains_at_the_lowest_threshold_wherever_it_stands():
    truth = [RoomObjects(["bed"], np.array([[0.0, 0, 0, 1, 1, 1, 0]]))]
    half = [RoomObjects(["bed"], np.array([[0.5, 0, 0, 1, 1, 1, 0]]), np.array([0.5]))]
    for thresholds in ((0.5, 0.25), (0.25, 0.5)):  # the overlap is a third
        assert evaluate_indoor(truth, half, ["bed"], thresholds).explain() == []


def test_indoor_without_any_detection_is_zero():
    truth, _ = rooms(7)
    nothing = [RoomObjects([], [], scores=[])] * 7
    assert evaluate_indoor(truth, nothing, CLASSES).as_dict()["mAP_0.25"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(classes=()), "classes"),
        (dict(classes=("bed", "bed")), "classes"),
        (dict(thresholds=(0.25, 1.5)), "thresholds"),
        (dict(detections=[]), "frames of truth"),
        (dict(detections=[RoomObjects(["bed"], np.zeros((1, 7)), [math.nan])]), "finite scores"),
    ],
)
def test_indoor_refuses_what_cannot_be_evaluated(change, message):
    one = [RoomObjects([], [], scores=[])]
    arguments = dict(truth=one, detections=one, classes=CLASSES, thresholds=(0.25,))
    with pytest.raises(ValueError, match=message):
        evaluate_indoor(**{**arguments, **change})


def sample_of(truth, found, name):
    predictions = as_mmdet3d(found, True)
    return dict(
        pred_instances_3d=predictions,
        eval_ann_info=as_mmdet3d(truth, False),
        lidar_path=f"points/{name}.bin",
    )


def test_indoor_metric_gives_the_figures_of_the_function_and_writes_results(tmp_path):
    truth, found = rooms(11)
    metric = IndoorDetectionMetric(txt_dir=str(tmp_path))
    metric.dataset_meta = dict(classes=CLASSES)
    for index in range(11):
        metric.process(None, [sample_of(truth[index], found[index], f"{index:06d}")])
    figures = metric.evaluate(size=11)
    expected = evaluate_indoor(truth, found, CLASSES).as_dict()
    assert figures == pytest.approx({f"Indoor/{k}": v for k, v in expected.items()}, abs=1e-3)
    assert len(list(tmp_path.glob("*.txt"))) == 11


def test_rooms_of_two_folders_that_number_alike_are_all_evaluated(tmp_path):
    truth, found = rooms(6)
    samples = [sample_of(truth[i], found[i], f"{i % 3:06d}") for i in range(6)]
    for index, sample in enumerate(samples):
        sample["lidar_path"] = f"{'ab'[index // 3]}/{sample['lidar_path']}"
    metric = IndoorDetectionMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process(None, samples)
    expected = evaluate_indoor(truth, found, CLASSES).as_dict()
    figures = metric.evaluate(size=6)
    assert figures == pytest.approx({f"Indoor/{k}": v for k, v in expected.items()}, abs=1e-3)
    metric = IndoorDetectionMetric(txt_dir=str(tmp_path))
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process(None, samples)
    with pytest.raises(FormatError, match=r"b/points/000000\.bin: has the name of a/points/000000"):
        metric.evaluate(size=6)


def test_indoor_metric_leaves_out_what_is_not_finite(tmp_path):
    truth, found = rooms(3)
    metric = IndoorDetectionMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    for index in range(3):
        sample = sample_of(truth[index], found[index], f"{index:06d}")
        sample["pred_instances_3d"]["scores_3d"][:1] = math.nan
        metric.process(None, [sample])
    assert sum(result.num_broken for result in metric.results) >= 1
    assert math.isfinite(metric.evaluate(size=3)["Indoor/mAP_0.25"])


def write_set(folder, count=5):
    truth, _ = rooms(count)
    for index, objects in enumerate(truth):
        write_labels(folder / "label" / f"{index:06d}.txt", objects)
        write_results(folder / "results" / f"{index:06d}.txt", objects)
    calibration = RoomCalibration(np.diag([500.0, 500, 1]), np.eye(3))
    infos = [frame_info(f"{i:06d}", calibration, (64, 48), t) for i, t in enumerate(truth)]
    write_infos(folder / "infos.pkl", infos)
    return truth


def test_angles_in_degrees_are_told(tmp_path, capsys):
    write_set(tmp_path)
    for path in (tmp_path / "results").iterdir():
        found = read_results(path)
        found.boxes[:, 6] = np.degrees(found.boxes[:, 6] + 1)
        write_results(path, found)
    assert main(["eval-sunrgbd", str(tmp_path / "results"), str(tmp_path / "label")]) == 0
    assert "detections have a yaw beyond 2 pi" in capsys.readouterr().out


@pytest.mark.parametrize("annotations", ["label", "infos.pkl"])
def test_eval_sunrgbd_of_the_truth_prints_100(tmp_path, capsys, annotations):
    write_set(tmp_path)
    code = main(
        ["eval-sunrgbd", str(tmp_path / "results"), str(tmp_path / annotations),
         "--classes", *CLASSES, "--json", str(tmp_path / "out.json")]
    )  # fmt: skip
    assert code == 0
    assert "mean" in capsys.readouterr().out
    figures = json.loads((tmp_path / "out.json").read_text())["figures"]
    assert list(figures.values()) == pytest.approx([100.0] * len(figures))


def test_eval_sunrgbd_counts_a_missing_file_as_empty_and_says_so(tmp_path):
    truth = write_set(tmp_path)
    gone = next(i for i, t in enumerate(truth) if len(t))
    (tmp_path / "results" / f"{gone:06d}.txt").unlink()
    evaluation = evaluate_room_files(tmp_path / "results", tmp_path / "label", CLASSES)
    assert evaluation.missing == (f"{gone:06d}",)
    assert evaluation.result.as_dict()["mAR_0.25"] < 100


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("000001.txt", "bed 1 2 3\n", "line 1: 4 columns, expected 9"),
        ("000001.txt", "bed 1 2 3 1 1 1 0 nan\n", "is not finite"),
        ("000099.txt", "", "has no frame 000099"),
    ],
)
def test_eval_sunrgbd_names_the_file_that_is_wrong(tmp_path, capsys, name, text, message):
    write_set(tmp_path)
    (tmp_path / "results" / name).write_text(text)
    assert main(["eval-sunrgbd", str(tmp_path / "results"), str(tmp_path / "label")]) == 2
    error = capsys.readouterr().err
    assert message in error and name in error and error.count("\n") == 1


def test_curve_is_the_best_precision_from_each_recall_on():
    right = np.array([True, False, True, True, False])  # precision 1, 1/2, 2/3, 3/4, 3/5
    curve = np.array(sample_curve(right, 4))
    np.testing.assert_allclose(curve[:11], 1.0)  # up to a quarter: one of four boxes
    np.testing.assert_allclose(curve[11:31], 0.75)
    assert (curve[31:] == 0).all()  # the fourth is not found
    assert abs(curve[1:].mean() - average_precision(right, 4)[0]) < 1e-12


@pytest.mark.parametrize(("right", "boxes"), [([], 3), ([False, False], 3), ([False], 0), ([], 0)])
def test_curve_without_a_box_found_is_zero(right, boxes):
    assert sample_curve(np.array(right, dtype=bool), boxes) == (0.0,) * 41

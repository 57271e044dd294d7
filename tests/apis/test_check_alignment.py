"""The alignment check passes good data and fails shifted calibrations, each on its own ground."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from programs import run_python

from gemini_det3d.apis.alignment.agreement import agreement_of, judge
from gemini_det3d.apis.alignment.check import _with_findings, check_alignment
from gemini_det3d.apis.alignment.samples import (
    AugmentedSample,
    LabelBoxes,
    _note_originals,
    _transforms,
)
from gemini_det3d.apis.findings import Finding
from gemini_det3d.cli import main
from gemini_det3d.geometry.boxes import project_box_outlines
from gemini_det3d.visualization import save_png

# Looks along x: u = 320 - 400 y / x, v = 120 - 400 z / x.
MATRIX = np.array([[320.0, -400, 0, 0], [120, 0, -400, 0], [1, 0, 0, 0]])
SIZE = (640, 240)


def world(seed=0):
    """Six cars with points on their sides, ground around them, and their 2D boxes."""
    rng = np.random.default_rng(seed)
    boxes, points = [], []
    for x, y in ((9, -4), (12, 3), (15, -2), (18, 6), (21, 0), (24, -7)):
        length, width, height = rng.uniform((3.6, 1.5, 1.4), (4.2, 1.8, 1.7))
        yaw = rng.uniform(-3, 3)
        local = rng.uniform(-0.5, 0.5, (160, 3))
        local[np.arange(160), rng.integers(0, 2, 160)] = rng.choice([-0.49, 0.49], 160)  # a side
        local = local * [length, width, height] + [0, 0, height / 2]
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        local[:, :2] = local[:, :2] @ turn.T
        points.append(local + [x, y, -1.5])
        boxes.append([x, y, -1.5, length, width, height, yaw])
    ground = np.column_stack([rng.uniform((5, -12), (30, 12), (4000, 2)), np.full(4000, -1.5)])
    boxes = np.array(boxes)
    return np.concatenate([*points, ground]), boxes, project_box_outlines(boxes, MATRIX, SIZE)


def test_good_data_are_aligned():
    points, boxes, labels = world()
    verdict = judge(agreement_of(points, boxes, MATRIX, SIZE, labels))
    assert verdict.faults == () and verdict.gaps == ()
    assert verdict.counts["overlap"] == 6 and verdict.medians["overlap"] == pytest.approx(1.0)


@pytest.mark.parametrize("shift_px", [(30, 0), (0, 30), (-30, 0)])
def test_shifted_image_fails_by_the_labelled_boxes(shift_px):
    points, boxes, labels = world()
    shift = np.eye(3)
    shift[:2, 2] = shift_px
    faults = judge(agreement_of(points, boxes, shift @ MATRIX, SIZE, labels)).faults
    assert faults and all("3D box that lie" not in fault for fault in faults)


def test_mirrored_image_fails():
    points, boxes, labels = world()
    mirror = np.array([[-1.0, 0, SIZE[0]], [0, 1, 0], [0, 0, 1]])
    assert judge(agreement_of(points, boxes, mirror @ MATRIX, SIZE, labels)).faults


@pytest.mark.parametrize("shift_m", [(0.6, 0, 0), (0, 0.6, 0)])
def test_boxes_shifted_against_the_cloud_fail_without_any_label(shift_m):
    points, boxes, _ = world()
    verdict = judge(agreement_of(points + shift_m, boxes, MATRIX, SIZE, None))
    assert any("3D box that lie" in fault for fault in verdict.faults)


def test_what_cannot_be_checked_is_said():
    points, boxes, _ = world()
    verdict = judge(agreement_of(points, boxes, MATRIX, SIZE, None))
    assert verdict.faults == () and len(verdict.gaps) == 3
    assert math.isnan(verdict.medians["overlap"])


def test_nothing_to_see_is_no_agreement():
    assert judge([]).faults
    points, boxes, labels = world()
    far = judge(agreement_of(points + [500, 0, 0], boxes, MATRIX, SIZE, labels))
    assert "no truth box holds enough points" in far.faults[0]


def test_label_boxes_move_with_the_image():
    boxes = np.array([[10.0, 20, 30, 50]]).view(LabelBoxes)
    boxes.flip_((100, 200))
    assert boxes.tolist() == [[170, 20, 190, 50]]
    boxes.translate_([-180, 5])
    boxes.clip_((100, 200))
    assert boxes.tolist() == [[0, 25, 10, 55]]
    assert boxes.is_inside((100, 200)).tolist() == [True]
    assert (boxes * 2)[:, 2].tolist() == [20]  # as mmcv's Resize does
    boxes.rescale_((2, 3))
    assert boxes.tolist() == [[0, 75, 20, 165]]


def test_labels_are_counted_as_the_projection_is():
    points = SimpleNamespace(tensor=torch.arange(8.0).reshape(2, 4))
    results = {"img": np.zeros((9, 9, 3)), "points": points,
               "ann_info": {"gt_bboxes": [[1, 2, 3, 4]], "gt_bboxes_labels": [0]}}  # fmt: skip
    _note_originals(results, (0.5, 0.25))
    assert results["gt_bboxes"].tolist() == [[1.5, 2.25, 3.5, 4.25]]
    points.tensor += 1  # an augmentation
    assert results["points_on_disk"].tolist() == [[0, 1, 2], [4, 5, 6]]


def test_a_calibration_that_cannot_be_one_is_a_fault_and_an_unlikely_one_is_told():
    points, boxes, labels = world()
    verdict = judge(agreement_of(points, boxes, MATRIX, SIZE, labels))
    findings = [Finding("error", f"{i}.bin", f"mirrors {i}") for i in range(5)]
    told = _with_findings(verdict, [*findings, Finding("warning", "7.bin", "far apart")])
    assert len(told.faults) == 4 and "0.bin: mirrors 0" in told.faults[0]
    assert told.gaps == ("warning  7.bin: far apart",)


CONFIG = "mvxnet_gemini-point_r18_1xb2-toy_look-alikes-3class"


def test_calibrations_that_are_off_on_purpose_are_left_out():
    steps = [dict(type="CalibrationNoise", turned_deg=9.0), dict(type="PointShuffle")]
    assert [type(step).__name__ for step in _transforms(steps, (0, 0))] == ["PointShuffle"]
    steps[0]["type"] = "gemini_det3d.CalibrationNoise"
    assert len(_transforms(steps, (0, 0))) == 1


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    cli = ["-m", "gemini_det3d.cli"]
    run_python(*cli, "make-scenes", folder, "--preset", "look-alikes", "--train", 4, "--val", 1,
               "--workers", 1, cwd=folder)  # fmt: skip
    run_python(*cli, "prepare", "kitti", folder, "--classes", "Car", "Truck", "Tram",
               "--workers", 1, cwd=folder)  # fmt: skip
    return folder


def check(scenes, name, noise_deg=0.0):
    root = "train_dataloader.dataset.data_root"
    return run_python(
        "-c", "import sys; from gemini_det3d.cli import main; print('exit', main(sys.argv[1:]))",
        "check-alignment", CONFIG, "--samples", 4, "--pictures", 1, "--out", scenes / "pictures",
        "--cfg-options", f"{root}={scenes}/", f"train_dataloader.dataset.ann_file={name}",
        f"train_dataloader.dataset.pipeline.4.turned_deg={noise_deg}", cwd=scenes,
    )  # fmt: skip


def test_page_shows_what_this_run_drew_alone(tmp_path, monkeypatch):
    points, boxes, labels = world()
    points = np.column_stack([points, np.ones(len(points))])
    image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)

    def samples(config, number, seed):
        for name in ("b.bin", "c.bin"):
            yield AugmentedSample(name, [image], [MATRIX], points, boxes, ["Car"] * 6, labels, [])

    monkeypatch.setattr("gemini_det3d.apis.alignment.check.augmented_samples", samples)
    save_png(tmp_path / "a.png", np.zeros((5, 7, 3), np.uint8))
    main(["check-alignment", CONFIG, "--samples", "2", "--pictures", "1", "--out", str(tmp_path)])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ">b.png<" in page and ">a.png<" not in page and page.count("data:image/") == 1


def test_frames_of_two_sets_that_are_called_alike_have_pictures_of_their_own(tmp_path, monkeypatch):
    points, boxes, labels = world()
    points = np.column_stack([points, np.ones(len(points))])

    def samples(config, number, seed):
        for level, name in enumerate(("one/b.bin", "two/b.bin", "two/c.bin")):
            image = np.full((SIZE[1], SIZE[0], 3), 60 * level, np.uint8)
            yield AugmentedSample(name, [image], [MATRIX], points, boxes, ["Car"] * 6, labels, [])

    monkeypatch.setattr("gemini_det3d.apis.alignment.check.augmented_samples", samples)
    drawn = check_alignment(None, 3, 3, tmp_path).pictures
    assert [path.name for path in drawn] == ["b.png", "b_2.png", "c.png"]
    assert len({path.read_bytes() for path in drawn}) == 3


@pytest.mark.slow
def test_command_passes_good_calibrations_and_draws(scenes):
    assert "exit 0" in check(scenes, "kitti_infos_train.pkl", noise_deg=20.0)
    assert len(list((scenes / "pictures").glob("*.png"))) == 1
    page = (scenes / "pictures" / "report.html").read_text(encoding="utf-8")
    assert "<p>aligned</p>" in page and page.count("data:image/") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "matrices, row, column, shift",
    [(("lidar2img",), 0, 2, 25.0), (("lidar2cam",), 0, 3, 0.6)],
    ids=["projection 25 px off", "LiDAR 60 cm off"],
)
def test_command_fails_a_shifted_calibration(scenes, matrices, row, column, shift):
    with open(scenes / "kitti_infos_train.pkl", "rb") as file:
        infos = pickle.load(file)  # our own file, written above
    for info in infos["data_list"]:
        camera = info["images"]["CAM2"]
        for name in matrices:
            matrix = np.array(camera[name])
            if name == "lidar2img":  # moves pixels: row 0 += shift x depth
                matrix[row] += shift * matrix[2]
            else:
                matrix[row, column] += shift
            camera[name] = matrix.tolist()
    with open(scenes / "shifted.pkl", "wb") as file:
        pickle.dump(infos, file)
    output = check(scenes, "shifted.pkl")
    assert "exit 1" in output and "NOT ALIGNED" in output

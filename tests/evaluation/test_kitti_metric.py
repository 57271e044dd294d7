"""The registered metric, from predictions in the LiDAR frame to KITTI's figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet3d")

from kitti_frames import CLASSES, FRAMES, build, run, sample  # noqa: E402
from mmdet3d.registry import METRICS  # noqa: E402
from mmdet3d.structures import CameraInstance3DBoxes, LiDARInstance3DBoxes  # noqa: E402
from mmengine.evaluator import Evaluator  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

from gemini_det3d.formats.errors import FormatError  # noqa: E402
from gemini_det3d.formats.kitti import read_objects  # noqa: E402


def test_truth_as_predictions_gives_100_in_3d_for_every_class_that_has_boxes(
    tmp_path, infos, truth_samples
):
    figures = run(build(tmp_path, infos), truth_samples)
    for name in ("Pedestrian", "Car", "Truck", "Misc"):
        for metric in ("bev", "3d", "aos"):
            loose = 0.7 if name in ("Car", "Truck") else 0.5
            key = f"KITTI/{name}/{metric}_AP40_moderate_{loose:.2f}"
            assert figures[key] == pytest.approx(100.0, abs=0.02), key
    assert figures["KITTI/mean/3d_AP40_moderate"] == 100.0
    assert math.isnan(figures["KITTI/Cyclist/3d_AP40_moderate_0.50"])


def test_camera_boxes_give_the_same_figures_as_lidar_boxes(tmp_path, infos, truth_samples, root):
    camera_samples = []
    for frame in FRAMES:
        objects = read_objects(root / "label_2" / f"{frame:06d}.txt")
        objects = objects.select(objects.name != "DontCare")
        dims = objects.dimensions[:, [2, 0, 1]]
        boxes = np.column_stack([objects.location, dims, objects.rotation_y])
        boxes = CameraInstance3DBoxes(torch.tensor(boxes, dtype=torch.float32))
        camera_samples.append(sample(frame, boxes, objects.name))
    expected = run(build(tmp_path, infos), truth_samples)
    got = run(build(tmp_path, infos), camera_samples)
    assert got.keys() == expected.keys()
    np.testing.assert_allclose(list(got.values()), list(expected.values()), atol=1e-3)


def test_result_files_read_back_hold_the_predicted_objects(tmp_path, infos, truth_samples, root):
    run(build(tmp_path, infos, txt_dir=str(tmp_path / "txt")), truth_samples)
    for frame in FRAMES:
        got = read_objects(tmp_path / "txt" / f"{frame:06d}.txt", with_score=True)
        truth = read_objects(root / "label_2" / f"{frame:06d}.txt")
        truth = truth.select(truth.name != "DontCare")
        assert got.name.tolist() == truth.name.tolist()
        np.testing.assert_allclose(got.location, truth.location, atol=1e-3)
        np.testing.assert_allclose(got.dimensions, truth.dimensions, atol=1e-5)
        np.testing.assert_allclose(got.rotation_y, truth.rotation_y, atol=1e-5)


def test_format_only_writes_files_of_a_split_without_labels(tmp_path, infos, truth_samples):
    for info in infos["data_list"]:
        del info["instances"]
    metric = build(tmp_path, infos, txt_dir=str(tmp_path / "txt"), format_only=True)
    assert run(metric, truth_samples) == {}
    assert len(list((tmp_path / "txt").glob("*.txt"))) == 3


def test_labels_from_a_folder_give_the_figures_of_the_info_file(
    tmp_path, infos, truth_samples, root
):
    expected = run(build(tmp_path, infos), truth_samples)
    for info in infos["data_list"]:
        info["instances"] = []
    got = run(build(tmp_path, infos, label_dir=str(root / "label_2")), truth_samples)
    np.testing.assert_allclose(list(got.values()), list(expected.values()), atol=1e-9)


def test_a_matrix_that_is_missing_is_named_with_its_frame(tmp_path, infos, truth_samples):
    del infos["data_list"][1]["images"]["CAM2"]["lidar2cam"]
    metric = build(tmp_path, infos)
    metric.process(None, truth_samples[:1])
    with pytest.raises(FormatError, match=r"infos\.pkl: frame 1 has no images\.CAM2\.lidar2cam"):
        metric.process(None, truth_samples[1:2])


def test_a_frame_that_the_info_file_lacks_is_named(tmp_path, infos, truth_samples):
    infos["data_list"].pop()
    with pytest.raises(FormatError, match=r"infos\.pkl: has 2 frames, none at 2"):
        run(build(tmp_path, infos), truth_samples)


def test_boxes_beside_the_image_and_broken_boxes_are_left_out_and_reported(
    tmp_path, infos, truth_samples, monkeypatch
):
    lines = []
    monkeypatch.setattr(
        "gemini_det3d.evaluation.metrics.kitti_metric.print_log",
        lambda text, *_: lines.append(text),
    )
    expected = run(build(tmp_path, infos), truth_samples)
    size = [4.0, 1.7, 1.5, 0.0]
    extra = [[-20, 0, -1, *size], [10, 40, -1, *size], [math.nan, 0, -1, *size]]
    boxes = truth_samples[0]["pred_instances_3d"]["bboxes_3d"].tensor
    boxes = LiDARInstance3DBoxes(torch.cat([boxes, torch.tensor(extra)]))
    samples = [sample(0, boxes, ["Pedestrian", "Car", "Car", "Car"]), *truth_samples[1:]]
    assert run(build(tmp_path, infos), samples) == pytest.approx(expected, nan_ok=True)
    text = "\n".join(lines)
    assert "2 detections in 1 frames left out (first: frame 0): their boxes do not reach" in text
    assert "1 detections in 1 frames left out (first: frame 0): a coordinate or the" in text


def test_a_model_that_finds_nothing_gets_zeros_and_reasons(
    tmp_path, infos, truth_samples, monkeypatch
):
    lines = []
    monkeypatch.setattr(
        "gemini_det3d.evaluation.metrics.kitti_metric.print_log",
        lambda text, *_: lines.append(text),
    )
    none = [sample(frame, LiDARInstance3DBoxes(torch.zeros(0, 7)), []) for frame in FRAMES]
    figures = run(build(tmp_path, infos), none)
    assert figures["KITTI/Car/3d_AP40_moderate_0.70"] == 0.0
    assert (
        "Car (moderate, hard): AP 0, nothing was detected. Truth: 1 of 2 boxes count" in lines[-1]
    )


def test_the_evaluator_of_mmengine_accepts_data_samples(tmp_path, infos, truth_samples):
    from mmdet3d.structures import Det3DDataSample

    evaluator = Evaluator(build(tmp_path, infos))
    evaluator.dataset_meta = {"classes": CLASSES}
    for one in truth_samples:
        data_sample = Det3DDataSample(metainfo={"sample_idx": one["sample_idx"]})
        data_sample.pred_instances_3d = InstanceData(**one["pred_instances_3d"])
        evaluator.process([data_sample])
    assert evaluator.evaluate(3)["KITTI/Car/3d_AP11_hard_0.70"] == 100.0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"metric": "mAP"}, "metric must be one of"),
        ({"format_only": True}, "txt_dir must name a folder"),
        ({"min_overlaps": {"Car": 1.5}}, r"min_overlaps\['Car'\] is 1.5"),
        ({"classes": ["Car", "car"]}, "classes must be distinct names"),
        ({"recall": "coco"}, "recall must be one of"),
    ],
)
def test_a_wrong_option_is_an_error_when_the_metric_is_built(options, message):
    with pytest.raises(ValueError, match=message):
        METRICS.build(dict(type="KittiDetectionMetric", ann_file="none.pkl", **options))


def test_a_label_beyond_the_classes_names_the_frame(tmp_path, infos, truth_samples):
    metric = build(tmp_path, infos)
    metric.dataset_meta = {"classes": ("Pedestrian", "Cyclist", "Car")}
    with pytest.raises(ValueError, match="frame 1: predicted label 3, but the data set has 3"):
        run(metric, truth_samples)


def test_metric_img_bbox_reports_the_image_only(tmp_path, infos, truth_samples):
    figures = run(build(tmp_path, infos, metric="img_bbox"), truth_samples)
    assert {key.split("/")[2].split("_")[0] for key in figures} == {"bbox", "aos"}

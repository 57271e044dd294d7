"""The registered metric, from predictions in the LiDAR frame to KITTI's figures."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import (
    Calibration,
    from_lidar_boxes,
    read_calibration,
    read_image_size,
    read_objects,
    to_lidar_boxes,
    write_calibration,
    write_objects,
)

pytest.importorskip("mmdet3d")

from mmdet3d.registry import METRICS  # noqa: E402
from mmdet3d.structures import CameraInstance3DBoxes, LiDARInstance3DBoxes  # noqa: E402
from mmengine.evaluator import Evaluator  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

import gemini_det3d.evaluation.metrics  # noqa: E402, F401

FRAMES = (0, 1, 2)
CLASSES = ("Pedestrian", "Cyclist", "Car", "Truck", "Misc")
CATEGORIES = {"Pedestrian": 0, "Cyclist": 1, "Car": 2, "Truck": 4, "Misc": 7, "DontCare": -1}
SIZES = {
    "Pedestrian": (0.5, 0.6, 1.8),
    "Cyclist": (1.8, 0.6, 1.7),
    "Car": (4.0, 1.7, 1.5),
    "Truck": (9.0, 2.6, 3.1),
    "Misc": (2.4, 1.5, 1.6),
}
# Frame by frame: class, metres ahead, metres to the left, yaw. The far ones are below 25 px.
SCENES = (
    [("Pedestrian", 9.0, -2.0, 0.4)],
    [("Truck", 45.0, 3.0, -0.1), ("Car", 60.0, 9.0, 2.0), ("Cyclist", 70.0, -4.0, 1.0)],
    [("Misc", 12.0, 2.5, 0.2), ("Car", 25.0, -1.0, 3.0)],
)


def write_scenes(root) -> None:
    """Three frames in KITTI's layout, with a DontCare region."""
    calibration = Calibration(
        p2=np.array([[700.0, 0, 600, 42], [0, 700, 180, 0.7], [0, 0, 1, 0.003]]),
        r0_rect=np.eye(3),
        tr_velo_to_cam=np.array([[0, -1.0, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27]]),
    )
    for frame, scene in enumerate(SCENES):
        names = [name for name, *_ in scene]
        boxes = np.array([[x, y, -1.7, *SIZES[name], yaw] for name, x, y, yaw in scene])
        objects = from_lidar_boxes(boxes, names, None, calibration, (1242, 375))
        objects.truncated[:], objects.occluded[:] = 0.0, 0
        write_calibration(root / "calib" / f"{frame:06d}.txt", calibration)
        write_objects(root / "label_2" / f"{frame:06d}.txt", objects)
        (root / "image_2").mkdir(exist_ok=True)
        Image.new("RGB", (1242, 375)).save(root / "image_2" / f"{frame:06d}.png")
    with open(root / "label_2" / "000001.txt", "a") as file:
        file.write("DontCare -1 -1 -10 503 169 590 190 -1 -1 -1 -1000 -1000 -1000 -10\n")


def make_infos(root) -> dict:
    """What mmdet3d's converter writes about the real frames, as far as a metric reads it."""
    data_list = []
    for frame in FRAMES:
        calibration = read_calibration(root / "calib" / f"{frame:06d}.txt")
        width, height = read_image_size(root / "image_2" / f"{frame:06d}.png")
        objects = read_objects(root / "label_2" / f"{frame:06d}.txt")
        camera = {
            "cam2img": calibration.cam2img.tolist(),
            "lidar2cam": calibration.lidar2cam.astype(np.float32).tolist(),
            "width": width,
            "height": height,
        }
        instances = [
            {
                "bbox": objects.bbox[i].tolist(),
                "bbox_label": CATEGORIES[objects.name[i]],
                "bbox_3d": [
                    *objects.location[i].tolist(),
                    *objects.dimensions[i][[2, 0, 1]].tolist(),
                    float(objects.rotation_y[i]),
                ],
                "truncated": float(objects.truncated[i]),
                "occluded": int(objects.occluded[i]),
                "alpha": float(objects.alpha[i]),
            }
            for i in range(len(objects))
        ]
        data_list.append({"sample_idx": frame, "images": {"CAM2": camera}, "instances": instances})
    return {"metainfo": {"categories": CATEGORIES}, "data_list": data_list}


@pytest.fixture(params=["made", "real"])
def root(request, tmp_path):
    """Three frames in KITTI's layout: made here, and KITTI's own where they are at hand."""
    if request.param == "real":
        return request.getfixturevalue("shared_dir") / "data" / "kitti_mini" / "training"
    write_scenes(tmp_path)
    return tmp_path


@pytest.fixture
def infos(root) -> dict:
    return make_infos(root)


@pytest.fixture
def truth_samples(root) -> list[dict]:
    """Ground truth as a model's predictions."""
    samples = []
    for frame in FRAMES:
        objects = read_objects(root / "label_2" / f"{frame:06d}.txt")
        objects = objects.select(objects.name != "DontCare")
        calibration = read_calibration(root / "calib" / f"{frame:06d}.txt")
        boxes = torch.tensor(to_lidar_boxes(objects, calibration), dtype=torch.float32)
        samples.append(sample(frame, LiDARInstance3DBoxes(boxes), objects.name))
    return samples


def sample(frame, boxes, names) -> dict:
    return {
        "sample_idx": frame,
        "pred_instances_3d": {
            "bboxes_3d": boxes,
            "scores_3d": torch.linspace(0.9, 0.5, len(names)),
            "labels_3d": torch.tensor([CLASSES.index(n) for n in names], dtype=torch.long),
        },
    }


def build(tmp_path, infos, **options):
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps(infos))
    metric = METRICS.build(dict(type="KittiDetectionMetric", ann_file=str(path), **options))
    metric.dataset_meta = {"classes": CLASSES}
    return metric


def run(metric, samples) -> dict:
    for one in samples:
        metric.process(None, [one])
    return metric.evaluate(len(samples))


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


def test_a_frame_is_told_by_its_file_or_else_by_its_position(tmp_path, infos, truth_samples):
    expected = run(build(tmp_path, infos), truth_samples)
    numbers = dict(zip(FRAMES, (41, 7, 23)))
    moved = [{**entry, "sample_idx": numbers[entry["sample_idx"]]} for entry in infos["data_list"]]
    named = [
        {**one, "sample_idx": 99, "img_path": f"image_2/{numbers[one['sample_idx']]:06d}.png"}
        for one in truth_samples
    ]
    infos = {**infos, "data_list": moved}
    assert run(build(tmp_path, infos), truth_samples) == pytest.approx(expected, nan_ok=True)
    assert run(build(tmp_path, infos), named) == pytest.approx(expected, nan_ok=True)


def test_frames_seen_twice_count_once(tmp_path, infos, truth_samples):
    expected = run(build(tmp_path, infos), truth_samples)
    got = run(build(tmp_path, infos), truth_samples + truth_samples[:1])
    assert got == pytest.approx(expected, nan_ok=True)


def in_tree(tree, samples, broken=False) -> list[dict]:
    """The same samples as frames of a tree, with the truth or with boxes far away."""
    found = []
    for one in samples:
        one = {**one, "img_path": f"{tree}/image_2/{one['sample_idx']:06d}.png"}
        if broken:
            boxes = one["pred_instances_3d"]["bboxes_3d"].tensor + 3.0
            parts = {**one["pred_instances_3d"], "bboxes_3d": LiDARInstance3DBoxes(boxes)}
            one["pred_instances_3d"] = parts
        found.append(one)
    return found


@pytest.mark.parametrize("order", [("good", "bad"), ("bad", "good")])
def test_two_trees_that_number_alike_are_an_error_that_names_both_files(
    tmp_path, infos, truth_samples, order
):
    samples = [one for t in order for one in in_tree(t, truth_samples, broken=t == "bad")]
    with pytest.raises(FormatError) as error:
        run(build(tmp_path, infos), samples)
    files = [f"{tree}/image_2/000000.png" for tree in order]
    assert f"frame 000000 stands for {files[0]} and {files[1]}" in str(error.value)
    assert "MultiDatasetsEvaluator" in str(error.value)


def test_the_same_file_again_is_padding(tmp_path, infos, truth_samples):
    samples = in_tree("good", truth_samples)
    expected = run(build(tmp_path, infos), samples)
    assert run(build(tmp_path, infos), samples + samples[:2]) == pytest.approx(
        expected, nan_ok=True
    )


@pytest.mark.parametrize("with_own_metas", [False, True])
def test_every_data_set_of_a_test_is_evaluated_by_its_own_metric(
    tmp_path, infos, truth_samples, with_own_metas
):
    evaluators = pytest.importorskip("mmdet.evaluation.evaluator")
    more = [{**entry, "sample_idx": entry["sample_idx"] + 70} for entry in infos["data_list"]]
    metrics = []
    for name, content in (("a", infos), ("b", {**infos, "data_list": more})):
        (tmp_path / name).mkdir()
        metrics.append(build(tmp_path / name, content))
    evaluator = evaluators.MultiDatasetsEvaluator(metrics, ["a", "b"])
    sizes = {"classes": CLASSES, "cumulative_sizes": [3, 6]}
    evaluator.dataset_meta = [sizes, dict(sizes)] if with_own_metas else sizes
    second = [{**one, "sample_idx": one["sample_idx"] + 70} for one in truth_samples]
    for one in in_tree("a", truth_samples) + in_tree("b", second, broken=True):
        evaluator.process([one])
    figures = evaluator.evaluate(6)
    assert figures["a/KITTI/mean/3d_AP40_moderate"] == 100.0
    assert figures["b/KITTI/mean/3d_AP40_moderate"] == 0.0


def test_a_frame_of_another_tree_is_named_when_it_is_evaluated(tmp_path, infos, truth_samples):
    strange = in_tree("b", [{**truth_samples[0], "sample_idx": 77}])
    with pytest.raises(FormatError, match=r"has no frame 000077 \(b/image_2/000077\.png\)"):
        run(build(tmp_path, infos), strange)


def test_the_evaluator_of_mmengine_accepts_data_samples(tmp_path, infos, truth_samples):
    from mmdet3d.structures import Det3DDataSample

    evaluator = Evaluator(build(tmp_path, infos))
    evaluator.dataset_meta = {"classes": CLASSES}
    for one in truth_samples:
        data_sample = Det3DDataSample(metainfo={"sample_idx": one["sample_idx"]})
        data_sample.pred_instances_3d = InstanceData(**one["pred_instances_3d"])
        evaluator.process([data_sample])
    assert evaluator.evaluate(3)["KITTI/Car/3d_AP11_hard_0.70"] == 100.0


def test_results_survive_the_way_between_processes(tmp_path, infos, truth_samples):
    metric = build(tmp_path, infos)
    for one in truth_samples:
        metric.process(None, [one])
    expected = metric.compute_metrics(metric.results)
    again = metric.compute_metrics(pickle.loads(pickle.dumps(metric.results)))
    assert again == pytest.approx(expected, nan_ok=True)


def evaluate_on_rank(rank, folder, samples):
    """Process of two: its share of the frames, filled up as mmengine's sampler does."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    metric = METRICS.build(dict(type="KittiDetectionMetric", ann_file=f"{folder}/infos.pkl"))
    metric.dataset_meta = {"classes": CLASSES}
    for one in (samples + samples[:1])[rank::2]:
        metric.process(None, [one])
    figures = metric.evaluate(len(samples))
    torch.save(figures, f"{folder}/figures_{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(tmp_path, infos, truth_samples):
    expected = run(build(tmp_path, infos), truth_samples)
    torch.multiprocessing.spawn(evaluate_on_rank, args=(str(tmp_path), truth_samples), nprocs=2)
    for rank in range(2):
        figures = torch.load(tmp_path / f"figures_{rank}.pt")
        assert figures == pytest.approx(expected, nan_ok=True)


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

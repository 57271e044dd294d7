"""The whole detector on frames as they come: full, almost empty, empty, without boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
from mmengine.config import Config
from mmengine.structures import InstanceData

from gemini_det3d.apis.config import find_config

SIZE = (64, 96)
LIDAR2IMG = np.array([[48.0, -60, 0, 0], [32, 0, -60, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    config = Config.fromfile(find_config("mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"))
    return MODELS.build(config.model)


def frame(num_points: int, num_boxes: int, sample: int):
    generator = torch.Generator().manual_seed(sample)
    low, size = torch.tensor([0.0, -10, -2, 0]), torch.tensor([20.0, 20, 2, 1])
    points = torch.rand(num_points, 4, generator=generator) * size + low
    boxes = torch.tensor([[10.0, 0, -1.7, 3.9, 1.6, 1.5, 0.1]]).repeat(num_boxes, 1)
    boxes[:, 0] += 5 * torch.arange(num_boxes)
    data_sample = Det3DDataSample()
    data_sample.set_metainfo(
        dict(
            sample_idx=sample, lidar2img=LIDAR2IMG, scale_factor=(1.0, 1.0), flip=False,
            ori_shape=SIZE, img_shape=SIZE, transformation_3d_flow=[],
            box_type_3d=LiDARInstance3DBoxes,
        )
    )  # fmt: skip
    truth = InstanceData(bboxes_3d=LiDARInstance3DBoxes(boxes))
    truth.labels_3d = torch.full((num_boxes,), 2)
    data_sample.gt_instances_3d = truth
    image = torch.randint(0, 255, (3, *SIZE), generator=generator, dtype=torch.uint8)
    return points, image, data_sample


def batch(*sizes):
    frames = [frame(points, boxes, i) for i, (points, boxes) in enumerate(sizes)]
    points, images, samples = (list(column) for column in zip(*frames))
    return dict(inputs=dict(points=points, img=images), data_samples=samples)


BATCHES = {
    "full": [(700, 2), (500, 1)],
    "last frame empty": [(700, 2), (0, 0)],
    "first frame empty": [(0, 1), (700, 2)],
    "one point": [(1, 1), (0, 0)],
    "no point at all": [(0, 1), (0, 1)],
    "no box at all": [(700, 0), (500, 0)],
}


@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES.keys())
def test_detector_trains_on_any_batch_and_uses_every_parameter(detector, sizes):
    detector.train().zero_grad()
    data = detector.data_preprocessor(batch(*sizes), training=True)
    losses = detector(**data, mode="loss")
    loss, _ = detector.parse_losses(losses)
    loss.backward()
    assert loss.isfinite()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES.keys())
def test_detector_predicts_one_result_per_frame(detector, sizes):
    detector.eval()
    data = detector.data_preprocessor(batch(*sizes), training=False)
    with torch.no_grad():
        results = detector(**data, mode="predict")
    assert len(results) == len(sizes)
    assert all(r.pred_instances_3d.scores_3d.isfinite().all() for r in results)


def test_detector_answers_to_the_image(detector):
    detector.eval()
    data = batch((700, 2))
    dark = batch((700, 2))
    dark["inputs"]["img"] = [torch.zeros_like(i) for i in dark["inputs"]["img"]]
    with torch.no_grad():
        maps = [
            detector.extract_feat(
                (d := detector.data_preprocessor(x, False))["inputs"],
                [s.metainfo for s in d["data_samples"]],
            )[1][0]
            for x in (data, dark)
        ]
    assert not torch.equal(*maps)


def test_detector_works_without_a_camera(detector):
    detector.train().zero_grad()
    data = detector.data_preprocessor(batch((700, 2), (500, 1)), training=True)
    del data["inputs"]["imgs"]
    loss, _ = detector.parse_losses(detector(**data, mode="loss"))
    assert loss.isfinite()


@pytest.mark.parametrize(
    "mask", [dict(camera=[False], lidar=True), dict(camera=[True], lidar=False)], ids=str
)
def test_detector_trains_and_predicts_with_a_sensor_missing(detector, mask):
    data = batch((700, 2), (500, 1))
    for data_sample in data["data_samples"]:
        data_sample.set_metainfo(dict(sensor_mask=mask))
    detector.train().zero_grad()
    data = detector.data_preprocessor(data, training=True)
    loss, _ = detector.parse_losses(detector(**data, mode="loss"))
    loss.backward()
    assert loss.isfinite()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    with torch.no_grad():
        assert len(detector.eval()(**data, mode="predict")) == 2


def test_detector_stays_finite_in_bfloat16_autocast(detector):
    detector.train()
    data = detector.data_preprocessor(batch((700, 2), (500, 1)), training=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = detector.parse_losses(detector(**data, mode="loss"))
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_detector_predicts_under_autocast(detector, dtype):
    detector.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype):
        data = detector.data_preprocessor(batch((700, 2), (500, 1)), training=False)
        results = detector(**data, mode="predict")
    assert all(r.pred_instances_3d.scores_3d.dtype == torch.float32 for r in results)


def test_detector_says_what_its_head_says_undecoded(detector):
    detector.eval()
    data = detector.data_preprocessor(batch((700, 2), (500, 1)), training=False)
    with torch.no_grad():
        scores, deltas, directions = detector(**data, mode="tensor")
    assert [len(maps[0]) for maps in (scores, deltas, directions)] == [2, 2, 2]

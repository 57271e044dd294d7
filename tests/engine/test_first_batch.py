"""A training whose points see no pixel stops at its first batch."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet3d.structures import DepthInstance3DBoxes, Det3DDataSample, LiDARInstance3DBoxes
from mmengine.hooks import Hook
from mmengine.structures import InstanceData

from gemini_det3d.engine.first_batch import FirstBatchHook, check_sizes
from gemini_det3d.formats import FormatError

LIDAR2IMG = np.array([[100.0, -100, 0, 0], [60, 0, -100, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def batch(points: torch.Tensor, lidar2img: np.ndarray = LIDAR2IMG) -> dict:
    meta = dict(
        lidar2img=lidar2img, img_shape=(120, 200), ori_shape=(120, 200),
        scale_factor=(1.0, 1.0), flip=False,
        lidar_path="000007.bin", pcd_horizontal_flip=False, pcd_vertical_flip=False,
        pcd_scale_factor=1.0, pcd_trans=np.zeros(3), pcd_rotation=torch.eye(3),
        transformation_3d_flow=[],
    )  # fmt: skip
    sample = Det3DDataSample(metainfo=meta)
    return {"inputs": {"points": [points], "img": [torch.zeros(3, 120, 200)]},
            "data_samples": [sample]}  # fmt: skip


def ahead(number: int) -> torch.Tensor:
    return torch.tensor([[10.0, 0.0, 0.0, 0.5]]).repeat(number, 1)


def check(data: dict) -> Hook:
    hook = FirstBatchHook()
    hook.before_train_iter(None, 0, data)
    return hook


@pytest.mark.parametrize("number", [0, 3, 100])
def test_points_in_the_image_pass(number: int) -> None:
    data = batch(ahead(number))
    check(data)
    assert torch.equal(data["inputs"]["points"][0], ahead(number))  # and stay as they are


@pytest.mark.parametrize(
    "points, lidar2img",
    [
        (ahead(50) * torch.tensor([-1.0, 1, 1, 1]), LIDAR2IMG),
        (ahead(50), np.linalg.inv(LIDAR2IMG)),
        (ahead(50) + torch.tensor([0, 500.0, 0, 0]), LIDAR2IMG),
    ],
)
def test_points_beside_the_image_stop_the_training_and_name_the_file(points, lidar2img) -> None:
    with pytest.raises(FormatError, match=r"000007\.bin: 0 of 50 points of the first batch"):
        check(batch(points, lidar2img))


@pytest.mark.parametrize("part", ["detector", "neck"])
def test_metadata_that_the_model_takes_as_given_need_not_be_packed(part: str) -> None:
    data = batch(-ahead(50))
    meta = {k: v for k, v in data["data_samples"][0].metainfo.items() if k != "flip"}
    data["data_samples"] = [Det3DDataSample(metainfo=meta)]
    check(data)  # nothing says where its points fall, and the model may not ask
    model, holder = torch.nn.Sequential(torch.nn.Linear(1, 1)), SimpleNamespace()
    if part == "neck":
        model[0].sampler = holder
    (model if part == "detector" else holder).meta_defaults = dict(flip=False)
    with pytest.raises(FormatError, match="0 of 50 points"):
        FirstBatchHook().before_train_iter(SimpleNamespace(model=model), 0, data)


@pytest.mark.parametrize("kind", [DepthInstance3DBoxes, LiDARInstance3DBoxes])
def test_frame_of_the_points_is_that_of_the_boxes(kind) -> None:
    """Points of rooms are projected by ``depth2img``, those of streets by ``lidar2img``."""
    data = batch(-ahead(50))
    meta = dict(data["data_samples"][0].metainfo, box_type_3d=kind)
    if kind is DepthInstance3DBoxes:
        meta["depth2img"] = meta.pop("lidar2img")
    data["data_samples"] = [Det3DDataSample(metainfo=meta)]
    with pytest.raises(FormatError, match=r"000007\.bin: 0 of 50 points"):
        check(data)


@pytest.mark.parametrize("counts, ok", [((6, 5), False), ((5, 5), True), ((0, 1, 6), False)])
def test_batch_of_different_numbers_of_cameras_names_two_samples(counts, ok: bool) -> None:
    hook = check(batch(ahead(100)))  # any batch, not only the first
    samples = [Det3DDataSample(metainfo=dict(lidar_path=f"{i}.bin")) for i in range(len(counts))]
    images = [torch.zeros(n, 3, 4, 4) if n else torch.zeros(3, 4, 4) for n in counts]
    data = {"inputs": {"points": [], "img": images}, "data_samples": samples}
    if ok:
        return hook.before_train_iter(None, 1, data)
    words = r"\d\.bin: has \d camera images and 0\.bin of the same batch \d; train them apart"
    with pytest.raises(FormatError, match=words):
        hook.before_train_iter(None, 1, data)


def test_later_batches_cost_nothing() -> None:
    with pytest.raises(FormatError):
        check(batch(-ahead(50)))  # as a first batch it would stop the training
    hook = check(batch(ahead(5)))
    assert hook.before_train_iter(None, 1, batch(-ahead(50))) is None


@pytest.mark.parametrize("data", [None, {}, {"inputs": {"points": []}}, {"inputs": torch.ones(1)}])
def test_batch_of_one_sensor_is_none_of_its_business(data) -> None:
    hook = check(data)
    with pytest.raises(FormatError):  # it still waits for the first batch that has both
        hook.before_train_iter(None, 1, batch(-ahead(50)))


SIZES = [[0.8, 0.6, 1.73], [1.76, 0.6, 1.73], [3.9, 1.6, 1.56]]  # pedestrians, cyclists, cars


def of_sizes(labels: list, dims: list) -> list:
    boxes = torch.tensor([[9.0, 0, 0, *size, 0.3] for size in dims]).reshape(-1, 7)
    sample = Det3DDataSample()
    sample.gt_instances_3d = InstanceData(
        bboxes_3d=LiDARInstance3DBoxes(boxes), labels_3d=torch.tensor(labels, dtype=torch.long)
    )
    return [sample]


@pytest.mark.parametrize(
    "labels, is_told", [([2, 2, 2, 0], False), ([0, 0, 0, 2], True), ([0, 0], False), ([], False)]
)
def test_classes_in_another_order_than_their_anchors_are_told(labels, is_told) -> None:
    """The boxes are cars and one pedestrian."""
    dims = [[3.8, 1.5, 1.5], [4.1, 1.7, 1.6], [3.5, 1.6, 1.5], [0.8, 0.7, 1.7]][: len(labels)]
    head = SimpleNamespace(num_classes=3, prior_generator=SimpleNamespace(sizes=SIZES))
    said = check_sizes(head, of_sizes(labels, dims))
    assert bool(said) == is_told
    assert not is_told or said[0].startswith("4 of 4 boxes have the size of another class")
    head.prior_generator.sizes = SIZES[:1]  # one for all classes
    assert check_sizes(head, of_sizes(labels, dims)) == []

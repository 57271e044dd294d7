"""What the ablation changes in a frame."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import BaseDataElement

from gemini_det3d.apis.ablation.conditions import CONDITIONS, spoil


def frame(fill=1, size=(6, 10), cameras=None):
    shape = (3, *size) if cameras is None else (cameras, 3, *size)
    inputs = dict(points=torch.rand(400, 4), img=torch.full(shape, fill, dtype=torch.uint8))
    return dict(inputs=inputs, data_samples=BaseDataElement())


def spoilt(name, data, other=None):
    return spoil(name, data, other or frame(9), 3)


@pytest.mark.parametrize("condition", list(CONDITIONS))
def test_no_condition_changes_the_frame_itself(condition):
    data = frame()
    points, image = data["inputs"]["points"], data["inputs"]["img"].clone()
    spoilt(condition, data)
    assert data["inputs"]["points"] is points and torch.equal(data["inputs"]["img"], image)
    assert not data["data_samples"].metainfo


def test_black_image_is_zero_and_shuffled_is_the_other_frames():
    assert spoilt("image black", frame())["inputs"]["img"].sum() == 0
    assert (spoilt("image shuffled", frame())["inputs"]["img"] == 9).all()


def test_shuffled_image_of_another_size_is_cut_and_padded():
    image = spoilt("image shuffled", frame(), frame(9, size=(4, 12)))["inputs"]["img"]
    assert image.shape == (3, 6, 10) and (image[:, :4] == 9).all() and (image[:, 4:] == 0).all()


@pytest.mark.parametrize("cameras", [None, 6])
def test_absent_camera_is_masked_and_black_for_who_reads_no_mask(cameras):
    data = spoilt("image absent", frame(cameras=cameras))
    mask = data["data_samples"].metainfo["sensor_mask"]
    assert mask == dict(camera=[False] * (cameras or 1), lidar=True)
    assert not data["inputs"]["img"].any()


def test_camera_that_was_missing_stays_so_without_the_lidar():
    data = frame(cameras=3)
    data["data_samples"].set_metainfo(dict(sensor_mask=dict(camera=[True, False, True])))
    mask = spoilt("LiDAR absent", data)["data_samples"].metainfo["sensor_mask"]
    assert mask == dict(camera=[True, False, True], lidar=False)


def test_absent_lidar_is_masked_and_has_one_point():
    data = spoilt("LiDAR absent", frame())
    assert data["data_samples"].metainfo["sensor_mask"] == dict(camera=[True], lidar=False)
    assert data["inputs"]["points"].shape == (1, 4)


def test_thinned_lidar_keeps_a_quarter_and_the_same_each_time():
    data = frame()
    one, two = (spoilt("LiDAR thinned", data)["inputs"]["points"] for _ in range(2))
    assert 60 < len(one) < 140 and torch.equal(one, two)

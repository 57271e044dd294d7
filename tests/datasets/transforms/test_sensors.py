"""Which sensors a sample may lose, and that the mask reaches the model."""

from __future__ import annotations

import numpy as np
import pytest
from mmdet3d.registry import TRANSFORMS

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.datasets.transforms.sensors import mask_sensors
from gemini_det3d.models.sensor_metas import sensor_mask


def sample(cameras=1):
    image = np.zeros((7, 5, 3), np.uint8)
    return {"img": image if cameras == 1 else [image] * cameras}


def masks(config, cameras=1, number=400):
    np.random.seed(0)
    transform = TRANSFORMS.build(config)
    return [transform(sample(cameras))["sensor_mask"] for _ in range(number)]


def share(values):
    return np.mean(list(values))


def test_dropout_takes_each_sensor_as_often_as_told():
    drawn = masks(dict(type="ModalityDropout", camera=0.3, lidar=0.2), cameras=3)
    assert share(not any(m["camera"]) for m in drawn) == pytest.approx(0.3, abs=0.07)
    assert share(not m["lidar"] for m in drawn) == pytest.approx(0.2, abs=0.07)
    assert all(len(set(m["camera"])) == 1 for m in drawn)


@pytest.mark.parametrize("cameras", [1, 6])
def test_dropout_never_takes_everything(cameras):
    drawn = masks(dict(type="ModalityDropout", camera=0.5, lidar=0.5), cameras)
    assert all(any(m["camera"]) or m["lidar"] for m in drawn)
    assert all(not all(m["camera"]) or not m["lidar"] for m in drawn)


def test_dropout_leaves_the_last_sensor_that_an_earlier_step_left():
    switch = TRANSFORMS.build(dict(type="SensorSwitch", camera=False))
    dropout = TRANSFORMS.build(dict(type="ModalityDropout", lidar=1.0))
    assert dropout(switch(sample()))["sensor_mask"] == dict(camera=[False], lidar=True)


def test_dropout_takes_one_of_six_cameras():
    drawn = masks(dict(type="ModalityDropout", one_camera=1.0), cameras=6)
    assert all(sum(m["camera"]) == 5 and m["lidar"] for m in drawn)
    assert {m["camera"].index(False) for m in drawn} == set(range(6))


def test_dropout_of_zero_takes_nothing():
    assert masks(dict(type="ModalityDropout"), 2, 1) == [dict(camera=[True, True], lidar=True)]


@pytest.mark.parametrize("chances", [dict(camera=-0.1), dict(lidar=2), dict(camera=0.6, lidar=0.6)])
def test_dropout_rejects_impossible_chances(chances):
    with pytest.raises(ValueError, match=next(iter(chances))):
        TRANSFORMS.build(dict(type="ModalityDropout", **chances))


def test_switch_turns_off_what_it_is_told():
    assert masks(dict(type="SensorSwitch", camera=False), 2, 1)[0]["camera"] == [False, False]
    assert masks(dict(type="SensorSwitch", lidar=False), 2, 1)[0]["lidar"] is False
    one = masks(dict(type="SensorSwitch", camera=[True, False, True]), 3, 1)[0]["camera"]
    assert one == [True, False, True]


def test_switch_for_other_cameras_is_an_error():
    with pytest.raises(ValueError, match="2 values, the sample 3"):
        masks(dict(type="SensorSwitch", camera=[True, False]), 3, 1)


def test_mask_reaches_the_metadata_that_the_model_reads():
    data = TRANSFORMS.build(dict(type="SensorSwitch", camera=[True, False]))(sample(2))
    packed = TRANSFORMS.build(dict(type="PackSensorInputs", keys=["img"]))(data)
    metas = [packed["data_samples"].metainfo]
    assert sensor_mask(metas, "camera", 2).tolist() == [[True, False]]
    assert sensor_mask(metas, "lidar").tolist() == [[True]]


@pytest.mark.parametrize("key", ["img_aug_matrix", "lidar_aug_matrix"])
def test_what_bevfusions_transforms_record_is_packed(key):
    data = {**sample(1), key: np.eye(4)}
    packed = TRANSFORMS.build(dict(type="PackSensorInputs", keys=["img"]))(data)
    assert np.array_equal(packed["data_samples"].metainfo[key], np.eye(4))


def test_masks_default_to_everything_there():
    metas = [{}, {"sensor_mask": {"lidar": False}}]
    assert sensor_mask(metas, "camera", 3).tolist() == [[True] * 3] * 2
    assert sensor_mask(metas, "lidar").tolist() == [[True], [False]]


@pytest.mark.parametrize("value", [False, [False, False, False]], ids=["one value", "a list"])
def test_mask_of_several_cameras_is_one_value_for_all_or_one_for_each(value):
    assert not sensor_mask([{"sensor_mask": {"camera": value}}], "camera", 3).any()


def test_masks_for_other_cameras_name_the_sample():
    with pytest.raises(ValueError, match="sample 7 is for 1 of 'camera', the model reads 6"):
        sensor_mask([dict(sample_idx=7, sensor_mask=dict(camera=[True]))], "camera", 6)


def test_mask_of_an_unknown_sensor_names_the_sample():
    with pytest.raises(KeyError, match=r"sample 7 names \['lidra'\]"):
        sensor_mask([dict(sample_idx=7, sensor_mask=dict(lidra=False))], "lidar")


def test_detectors_and_segmentors_write_one_schema():
    detection = mask_sensors(mask_sensors({}, camera=[True, False]), camera=[False, True], lidar=0)
    assert detection["sensor_mask"] == dict(camera=[False, False], lidar=False)
    segmentation = mask_sensors(dict(sensor_mask=dict(rgb=True, depth=True)), depth=False)
    assert segmentation["sensor_mask"] == dict(rgb=True, depth=False)

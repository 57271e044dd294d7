"""Calibrations that are off in training: by how much at most, by what is drawn, and of what."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import LiDARPoints

from gemini_det3d.datasets.transforms import CalibrationNoise

CAM2IMG = np.array([[500.0, 0, 300, 0], [0, 500, 100, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])  # x ahead -> z ahead


def sample(turn=None, views=None, back=False):
    matrix = CAM2IMG @ AXES @ (np.eye(4) if turn is None else turn)
    results = dict(
        img=np.zeros((4, 5, 3), np.uint8),
        points=LiDARPoints(torch.rand(9, 4), points_dim=4),
        lidar2img=np.stack([matrix] * views) if views else matrix,
    )
    if back:
        results["cam2lidar"] = np.linalg.inv(AXES)[None]
    return results


def movement_of(results, start):
    """The movement that was put before the projection, ``(4, 4)``."""
    return np.linalg.inv(start["lidar2img"]) @ results["lidar2img"]


def angle_of(movement):
    return np.degrees(np.arccos(np.clip((np.trace(movement[:3, :3]) - 1) / 2, -1, 1)))


def test_nothing_is_drawn_or_changed_without_noise():
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    before = sample()
    assert TRANSFORMS.build(dict(type="CalibrationNoise")).transform(before) is before
    assert np.array_equal(before["lidar2img"], sample()["lidar2img"])
    assert np.array_equal(np.random.get_state()[1], state)
    assert CalibrationNoise().transform({"img": None}) == {"img": None}  # of any sample


def test_cameras_turn_and_move_by_up_to_what_was_said_and_evenly():
    np.random.seed(0)
    noise = CalibrationNoise(turned_deg=2.0, moved_m=0.3)
    found = [movement_of(noise.transform(sample()), sample()) for _ in range(400)]
    angles = np.array([angle_of(movement) for movement in found])
    ways = np.array([np.linalg.norm(movement[:3, 3]) for movement in found])
    for values, most in ((angles, 2.0), (ways, 0.3)):
        assert values.max() <= most * (1 + 1e-6)
        np.testing.assert_allclose(np.quantile(values, (0.25, 0.5, 0.75)) / most,
                                   (0.25, 0.5, 0.75), atol=0.08)  # fmt: skip
    rotations = np.array([movement[:3, :3] for movement in found])
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (400, 3, 3)), atol=1e-9
    )
    assert abs(np.corrcoef(angles, ways)[0, 1]) < 0.15


@pytest.mark.parametrize(("turned_deg", "moved_m"), [(1.0, 0.0), (0.0, 0.1)])
def test_each_of_the_two_may_be_left_out(turned_deg, moved_m):
    movement = movement_of(CalibrationNoise(turned_deg, moved_m).transform(sample()), sample())
    assert (angle_of(movement) > 1e-6) == bool(turned_deg)
    assert (np.linalg.norm(movement[:3, 3]) > 1e-9) == bool(moved_m)


def test_images_points_and_sizes_stay_and_one_seed_gives_one_movement():
    noise, before = CalibrationNoise(1.0, 0.1), sample()
    points = before["points"].tensor.clone()
    np.random.seed(3)
    first = noise.transform(before)
    assert torch.equal(first["points"].tensor, points)
    assert not first["img"].any()
    np.random.seed(3)
    again = noise.transform(sample())
    np.testing.assert_array_equal(again["lidar2img"], first["lidar2img"])
    assert not np.array_equal(noise.transform(sample())["lidar2img"], first["lidar2img"])


def test_all_cameras_of_a_sample_move_as_one_and_the_way_back_with_them():
    before = sample(views=3, back=True)
    after = CalibrationNoise(2.0, 0.2).transform(sample(views=3, back=True))
    movements = np.linalg.inv(before["lidar2img"]) @ after["lidar2img"]
    np.testing.assert_allclose(movements, np.broadcast_to(movements[0], (3, 4, 4)), atol=1e-9)
    np.testing.assert_allclose(
        movements[0] @ after["cam2lidar"][0], before["cam2lidar"][0], atol=1e-9
    )


@pytest.mark.parametrize("value", [-1, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["turned_deg", "moved_m"])
def test_noise_that_is_no_length_is_refused_by_its_name(name, value):
    with pytest.raises(ValueError, match=f"CalibrationNoise: {name}={value} must be 0 or more"):
        CalibrationNoise(**{name: value})


def test_sample_without_two_sensors_is_told():
    with pytest.raises(ValueError, match="CalibrationNoise: the sample needs points, an image"):
        CalibrationNoise(1.0).transform({"points": sample()["points"]})

"""Corruptions of samples: of what they are asked to change, of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.structures import LiDARPoints

from gemini_det3d.corruptions import CORRUPTIONS, corrupt_image
from gemini_det3d.datasets.transforms import Corrupt
from gemini_det3d.datasets.transforms.corrupt import targets_of

OF_DETECTORS = [name for name, c in CORRUPTIONS.items() if c.target != "modalities"]


def detection_sample(views=None):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (37, 61, 3), np.uint8) for _ in range(views or 1)]
    points = LiDARPoints(torch.rand(500, 4) * 20 + 1, points_dim=4)
    matrix = np.array([[50, 0, 30, 1], [0, 50, 18, 2], [0, 0, 1, 3.0], [0, 0, 0, 1]])
    return dict(
        img=images if views else images[0],
        points=points,
        lidar2img=np.stack([matrix] * views) if views else matrix,
        images={"CAM2": {"img_path": "a.png"}},
        lidar_path="velodyne/000007.bin",
        num_views=views or 1,
    )


def unchanged(before, after, key):
    if key == "points":
        return torch.equal(before["points"].tensor, after["points"].tensor)
    return np.array_equal(before[key], after[key])


@pytest.mark.parametrize("views", [None, 3])
@pytest.mark.parametrize("name", OF_DETECTORS)
def test_a_corruption_changes_its_target_and_nothing_else(name, views):
    torch.manual_seed(0)
    before = detection_sample(views)
    after = Corrupt(name, severity=5).transform(dict(before))
    key = {"camera": "img", "lidar": "points", "calibration": "lidar2img"}.get(
        CORRUPTIONS[name].target
    )
    of_views = "img" if views else None  # the last view stays
    key = dict(lidar_gone="points", camera_gone="img", views_gone=of_views).get(name, key)
    for each in ("img", "points", "lidar2img"):
        assert unchanged(before, after, each) == (each != key)


@pytest.mark.parametrize("name, views", [("camera_gone", None), ("camera_gone", 3),
                                         ("views_gone", 3), ("lidar_gone", None)])  # fmt: skip
def test_what_is_gone_is_masked_and_not_shown_either(name, views):
    """A model that does not read the mask, mmdet3d's own for example, must not see it either."""
    before = detection_sample(views)
    after = Corrupt(name, severity=5).transform(dict(before))
    if name == "lidar_gone":
        assert after["sensor_mask"] == {"lidar": False} and len(after["points"]) == 1
        return
    exists = np.broadcast_to(after["sensor_mask"]["camera"], views or 1)
    assert not exists.all()
    images = [after["img"]] if views is None else after["img"]
    assert [bool(image.any()) for image in images] == exists.tolist()


def test_pictures_are_bgr_in_pipelines_and_rgb_in_the_functions():
    sample = detection_sample()
    seen = Corrupt("color_cast", 4).transform(dict(sample))["img"]
    wanted = corrupt_image(sample["img"][..., ::-1], "color_cast", 4, frame="000007.bin")
    np.testing.assert_array_equal(seen, wanted[..., ::-1])


def test_views_of_a_frame_are_corrupted_each_by_itself():
    sample = detection_sample(2)
    sample["img"][1] = sample["img"][0].copy()
    one, two = Corrupt("impulse_noise", 5).transform(sample)["img"]
    assert (one != two).any()


def test_a_moved_camera_moves_points_before_they_are_projected():
    sample = detection_sample()
    after = Corrupt("camera_late", 5).transform(dict(sample))["lidar2img"]
    point = np.array([10.0, 1, 2, 1])
    late = point - [4.0, 0, 0, 0]  # 0.4 s at 10 m/s
    np.testing.assert_allclose(after @ point, sample["lidar2img"] @ late)


def test_aligned_images_lose_views_and_values():
    images = {name: np.full((9, 8, 3), 100.0, np.float32) for name in ("rgb", "depth", "lidar")}
    sample = dict(images=images, sample_name="a")
    assert targets_of(sample) == {"camera", "modalities", "presence"}
    noisy = Corrupt("dropped_values", 3).transform(dict(sample))["images"]
    assert all((image == 0).any() and image.dtype == np.float32 for image in noisy.values())
    dark = Corrupt("dark", 5).transform(dict(sample))["images"]
    assert dark["rgb"].mean() < 30 and dark["depth"] is images["depth"]
    gone = Corrupt("views_gone", 5).transform(dict(sample))["sensor_mask"]
    assert sorted(gone.values()) == [False, False, True]
    assert Corrupt("lidar_gone", 5).transform(dict(sample))["sensor_mask"] == {"lidar": False}


def test_what_the_sample_lacks_is_one_line():
    sample = detection_sample()
    del sample["img"]
    with pytest.raises(ValueError, match="fog changes the sample's camera, which it lacks"):
        Corrupt("fog").transform(sample)
    with pytest.raises(ValueError, match="corruption='mist' is none of"):
        Corrupt("mist")

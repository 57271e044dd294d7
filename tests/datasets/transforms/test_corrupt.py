"""Corruptions of samples: of what they are asked to change, of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.structures import DepthPoints, LiDARPoints

from gemini_det3d.corruptions import CORRUPTIONS, corrupt_image
from gemini_det3d.datasets.transforms import Corrupt
from gemini_det3d.datasets.transforms.corruptible import targets_of

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
    if name == "views_gone" and not views:
        with pytest.raises(ValueError, match="takes some of several cameras, and the sample has"):
            Corrupt(name, severity=5).transform(before)
        return
    after = Corrupt(name, severity=5, intensity=3).transform(dict(before))
    key = {"camera": "img", "lidar": "points", "calibration": "lidar2img"}.get(
        CORRUPTIONS[name].target
    )
    key = dict(lidar_gone="points", camera_gone="img", views_gone="img").get(name, key)
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


def test_the_way_back_from_the_camera_moves_along():
    """BEVFusion lifts pixels by ``cam2lidar``, and places points by ``lidar2img``."""
    sample = detection_sample(2)
    sample["lidar2cam"] = np.stack([np.eye(4)] * 2) + np.eye(4, k=3)
    sample["cam2lidar"] = np.linalg.inv(sample["lidar2cam"])
    for name in ("camera_turned", "camera_moved", "camera_late"):
        after = Corrupt(name, 5).transform(dict(sample))
        assert not np.allclose(after["cam2lidar"], sample["cam2lidar"])
        np.testing.assert_allclose(after["cam2lidar"] @ after["lidar2cam"],
                                   np.stack([np.eye(4)] * 2), atol=1e-12)  # fmt: skip


def test_ahead_is_where_the_first_camera_looks():
    """x in KITTI; y in nuScenes and in rooms."""
    sample = detection_sample()
    sample["lidar2img"] = np.array([[50.0, 30, 0, 1], [0, 18, -50, 2], [0, 1, 0, 3], [0, 0, 0, 1]])
    after = Corrupt("camera_late", 5).transform(dict(sample))["lidar2img"]
    point = np.array([1.0, 10, 2, 1])
    np.testing.assert_allclose(after @ point, sample["lidar2img"] @ (point - [0, 4.0, 0, 0]))
    narrow = Corrupt("narrow_view", 5).transform(dict(sample, points=ring()))["points"]
    assert abs(narrow.tensor[:, :2].mean(0) - torch.tensor([0.0, 8.58])).max() < 0.1


def ring():
    """Points all around, 10 m away."""
    angle = torch.arange(-180, 180) * torch.pi / 180 + 1e-3
    return LiDARPoints(torch.stack([10 * angle.cos(), 10 * angle.sin(), 0 * angle, angle.abs()], 1),
                       points_dim=4)  # fmt: skip


def test_the_height_of_a_rooms_points_is_no_intensity_and_follows_them():
    xyz = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) * 3
    points = DepthPoints(torch.cat([xyz, xyz[:, 2:] + 1.5], 1), points_dim=4,
                         attribute_dims=dict(height=3))  # fmt: skip
    sample = dict(detection_sample(), points=points, depth2img=np.eye(3))
    moved = Corrupt("gaussian_jitter", 5).transform(dict(sample))["points"].tensor
    assert not torch.equal(moved[:, :3], xyz)
    torch.testing.assert_close(moved[:, 3], moved[:, 2] + 1.5)
    dimmed = Corrupt("lost_echoes", 5).transform(dict(sample))["points"].tensor
    assert dimmed[:, 3].min() < points.tensor[:, 3].quantile(0.2)  # not those near the floor


def test_depths_of_many_bits_are_not_rounded():
    depth = np.linspace(3.0, 5.0, 72, dtype=np.float32).reshape(9, 8, 1).repeat(3, 2)
    sample = dict(images={"rgb": depth.astype(np.uint8), "depth": depth}, sample_name="a")
    seen = Corrupt("salt_and_pepper", 1).transform(sample)["images"]["depth"]
    kept = (seen > 0) & (seen < 255)
    assert kept.mean() > 0.9 and np.array_equal(seen[kept], depth[kept])


def test_a_lidar_that_aligned_images_do_not_have_cannot_be_gone():
    images = {name: np.zeros((9, 8, 3), np.uint8) for name in ("rgb", "depth")}
    with pytest.raises(ValueError, match="takes the lidar, and the sample's images are rgb, depth"):
        Corrupt("lidar_gone", 5).transform(dict(images=images, sample_name="a"))


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

"""Every BEV config as shipped: both maps have one grid and the channels that the neck takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from gemini_det3d.apis.config import config_root, find_config

SIZE = (64, 96)
LIDAR2IMG = np.array([[48.0, -60, 0, 0], [32, 0, -60, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
FUSED = sorted(path.stem for path in config_root().rglob("bev_gemini-map_*.py"))


@pytest.fixture(scope="module", params=FUSED)
def detector(request):
    """Name and model."""
    init_default_scope("mmdet3d")
    config = Config.fromfile(find_config(request.param))
    return request.param, MODELS.build(config.model).eval()


def inputs(model, num_views):
    """One frame: some points in front, small images."""
    num_features = 5 if num_views == 6 else 4
    generator = torch.Generator().manual_seed(0)
    low = torch.tensor([3.0, -8, -1.5, 0, 0])[:num_features]
    size = torch.tensor([16.0, 16, 2, 1, 1])[:num_features]
    points = [torch.rand(300, num_features, generator=generator) * size + low]
    voxels = model.data_preprocessor.voxelize(points, None)
    meta = dict(
        sample_idx=0, img_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0), flip=False,
        transformation_3d_flow=[], lidar2img=[LIDAR2IMG] * num_views,
        img_aug_matrix=[np.eye(4)] * num_views,
    )  # fmt: skip
    images = torch.randn(1, num_views, 3, *SIZE, generator=generator)
    return images, points, voxels, meta


def test_maps_of_the_config_fit_its_fusion_neck(detector):
    name, model = detector
    images, points, voxels, meta = inputs(model, 6 if "nus" in name else 1)
    with torch.no_grad():
        camera, seen = model.camera_map(images, points, [meta])
        lidar = model.lidar_map(voxels, np.array([True]))
    grid = model.view_transform.grid.shape
    assert (camera.shape[1], lidar.shape[1]) == model.pts_fusion_layer.in_channels
    assert camera.shape[2:] == lidar.shape[2:] == seen.shape[1:] == grid
    assert camera.any() and lidar.any() and seen.any() and not seen.all()
    assert camera.isfinite().all() and lidar.isfinite().all()


def test_both_maps_of_the_config_cover_the_same_ground(detector):
    _, model = detector
    grid, layer = model.view_transform.grid, model.data_preprocessor.voxel_layer
    low, high = np.split(np.array(layer.point_cloud_range), 2)
    assert np.allclose(low[:2], grid.point_cloud_range[:2])
    assert np.allclose(high[:2], grid.point_cloud_range[3:5])


def test_frame_without_lidar_is_left_out_of_its_map_whatever_the_voxels(detector):
    name, model = detector
    _, points, voxels, _ = inputs(model, 6 if "nus" in name else 1)
    two = model.data_preprocessor.voxelize([points[0].flip(0)[:200], points[0]], None)
    with torch.no_grad():
        alone = model.lidar_map(voxels, np.array([True]))
        both = model.lidar_map(two, np.array([False, True]))
    assert not both[0].any()
    torch.testing.assert_close(both[1], alone[0], rtol=1e-4, atol=1e-5)

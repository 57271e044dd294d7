"""What a training step may ask of a GPU: counted on a CPU, by the published recipes' own models."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
from mmengine.config import Config
from mmengine.structures import InstanceData
from older_torch import needs_counted_version
from torch.torch_version import TorchVersion

from benchmarks.census import count_launches
from benchmarks.launches import census_of_training, report
from gemini_det3d.apis.config import find_config

SIZE = (64, 96)
LIDAR2IMG = np.array([[48.0, -60, 0, 0], [32, 0, -60, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


NEAR = [-12.8, -12.8, -5.0, 12.8, 12.8, 3.0]


def ring(num_views: int) -> np.ndarray:
    """Cameras that look around in equal steps."""
    views = []
    for angle in 2 * math.pi * np.arange(num_views) / num_views:
        c, s = math.cos(angle), math.sin(angle)
        views.append(LIDAR2IMG @ [[c, s, 0, 0], [-s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return np.stack(views)


def frame(number: int, num_boxes: int, num_classes: int, views: int = 0):
    """Random points and boxes 1 to 12 m before the car; with velocities where there are views."""
    generator = torch.Generator().manual_seed(number)
    points = torch.rand(400 + 53 * number, 5 if views else 4, generator=generator)
    points[:, :3] = points[:, :3] * torch.tensor([12, 14, 3]) - torch.tensor([0, 7, 2])
    boxes = torch.rand(num_boxes, 9 if views else 7, generator=generator)
    boxes[:, :6] = boxes[:, :6] * torch.tensor([11, 12, 1, 4, 2, 1]) + torch.tensor(
        [1, -6, -2, 0.5, 0.5, 1]
    )
    sample = Det3DDataSample()
    sample.set_metainfo(
        dict(
            sample_idx=number, lidar2img=ring(views) if views else LIDAR2IMG, flip=False,
            scale_factor=(1.0, 1.0), ori_shape=SIZE, img_shape=SIZE,
            box_type_3d=LiDARInstance3DBoxes,
            transformation_3d_flow=["R", "S", "T"], pcd_scale_factor=1.02,
            pcd_rotation=torch.eye(3), pcd_trans=np.array([0.1, 0.2, 0.0]),
        )
    )  # fmt: skip
    if views:
        sample.set_metainfo(dict(img_aug_matrix=np.stack([np.eye(4)] * views)))
    labels = torch.randint(0, num_classes, (num_boxes,), generator=generator)
    boxes = LiDARInstance3DBoxes(boxes, box_dim=boxes.shape[1])
    sample.gt_instances_3d = InstanceData(bboxes_3d=boxes, labels_3d=labels)
    shape = (views, 3, *SIZE) if views else (3, *SIZE)
    image = torch.randint(0, 255, shape, generator=generator, dtype=torch.uint8)
    return points, image, sample


def batch(*frames) -> dict:
    points, images, samples = (list(column) for column in zip(*frames))
    return dict(inputs=dict(points=points, img=images), data_samples=samples)


@pytest.fixture
def census(request):
    """Of a training step of a config, on a small map: counts do not depend on sizes."""

    def count(name, changes, data):
        config = Config.fromfile(find_config(name))
        config.merge_from_dict({f"model.{key}": value for key, value in changes.items()})
        return census_of_training(MODELS.build(config.model), config, data)

    return count


@needs_counted_version
def test_kitti_step_stays_within_its_budget(census):
    """7 waits and 1,785 operator calls with a compiled mmcv, 1,809 with mmcv-lite; a few spare."""
    counted = census(
        "mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class",
        {
            "data_preprocessor.voxel_layer.point_cloud_range": [0, -8, -3, 12.8, 8, 1],
            "pts_voxel_encoder.point_cloud_range": [0, -8, -3, 12.8, 8, 1],
            "pts_middle_encoder.sparse_shape": [41, 320, 256],
        },
        batch(frame(0, 8, 3), frame(1, 5, 3)),
    )
    assert counted.num_waits() <= 7, report("KITTI", counted, 20)
    assert counted.num_calls() <= 1815, report("KITTI", counted, 20)
    # one for the number of voxels, one for the seen points, one for the positive anchors
    assert counted.num_waits(ours=True) <= 3, report("KITTI", counted, 20)


@needs_counted_version
def test_nuscenes_step_stays_within_its_budget(census):
    """50 waits and 4,000 operator calls."""
    counted = census(
        "bev_gemini-map_r50_8xb4-20e_nus-3d",
        {
            "data_preprocessor.voxel_layer.point_cloud_range": NEAR,
            "view_transform.point_cloud_range": NEAR,
            "pts_middle_encoder.sparse_shape": [41, 256, 256],
            "train_cfg.pts.point_cloud_range": NEAR,
            "train_cfg.pts.grid_size": [256, 256, 40],
        },
        batch(frame(0, 21, 10, views=6), frame(1, 9, 10, views=6)),
    )
    assert counted.num_waits() <= 50, report("nuScenes", counted, 20)
    assert counted.num_calls() <= 4000, report("nuScenes", counted, 20)
    assert counted.num_waits(ours=True) == 0, report("nuScenes", counted, 20)  # the rig stayed


@pytest.mark.skipif(
    TorchVersion(torch.__version__) < (2, 4), reason="one call for all on a CPU from PyTorch 2.4 on"
)
def test_fused_optimizer_takes_fewer_calls_for_the_same_step():
    def stepped(**how: bool) -> tuple[list[torch.Tensor], int]:
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(3, 5)) for _ in range(7)]
        optimizer = torch.optim.AdamW(parameters, lr=0.01, **how)
        for _ in range(2):
            for parameter in parameters:
                parameter.grad = torch.randn(3, 5)
            with count_launches() as census:
                optimizer.step()
        return parameters, census.num_calls()

    (fused, few), (foreach, many) = stepped(fused=True), stepped(foreach=True)
    assert few < many
    torch.testing.assert_close(fused, foreach)

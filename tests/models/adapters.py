"""Every adapter of a fusion operator, built small, with the inputs it takes.

An adapter is ``(build, frame)``: ``build(operator)`` makes a module from the operator's name,
``frame(meta, is_empty)`` the arguments of its forward for two samples, the first of which the
operator can fuse unless its sensors are masked.
"""

from __future__ import annotations

import torch
from mmdet3d.registry import MODELS

from gemini_det3d.models.sensor_metas import sensor_mask

NECK = dict(
    type="PointFusionNeck", img_channels=5, pts_channels=8, mid_channels=16, out_channels=16,
    img_levels=[0], align_corners=False,
)  # fmt: skip


def point_fusion_neck(operator: str):
    return MODELS.build({**NECK, "operator": dict(type=operator, num_heads=4)})


def point_fusion_inputs(metas, is_empty=False, image=None):
    points = _points(is_empty)
    feats = torch.randn(sum(map(len, points)), 8)
    return _maps(image), points, feats, metas


def dynamic_vfe(operator: str):
    return MODELS.build(
        dict(
            type="GeminiDynamicVFE", feat_channels=[8, 8], with_cluster_center=True,
            with_voxel_center=True, voxel_size=[2.0, 2.0, 2.0],
            point_cloud_range=[0, -6, -4, 10, 6, 4],
            fusion_layer={**NECK, "operator": dict(type=operator, num_heads=4)},
        )
    )  # fmt: skip


def dynamic_vfe_inputs(metas, is_empty=False, image=None):
    points = _points(is_empty)
    low = torch.tensor([0, -6, -4.0])
    coors = [
        torch.cat([torch.full((len(p), 1), b), ((p[:, :3] - low) // 2).flip(1)], dim=1).int()
        for b, p in enumerate(points)
    ]
    return torch.cat(points), torch.cat(coors), points, _maps(image), metas


def map_fusion_neck(operator: str):
    return MODELS.build(
        dict(
            type="MapFusionNeck", in_channels=[5, 8], out_channels=16,
            operator=dict(type=operator, num_heads=4),
        )
    )  # fmt: skip


def map_fusion_inputs(metas, is_empty=False, image=None):
    generator = torch.Generator().manual_seed(7)
    camera = _maps(image)[0][..., :3, :7]
    lidar = torch.randn(2, 8, 3, 7, generator=generator)
    has_camera, has_lidar = (
        torch.from_numpy(sensor_mask(metas, sensor)[:, 0]) for sensor in ("camera", "lidar")
    )
    if is_empty:
        has_camera, has_lidar = has_camera[:0], has_lidar[:0]
    number = len(has_lidar)
    return (camera[:number], lidar[:number]), (has_camera, has_lidar)


def _points(is_empty: bool) -> list:
    generator = torch.Generator().manual_seed(5)
    low, size = torch.tensor([2, -3, -2, 0.0]), torch.tensor([7, 6, 4, 1.0])
    counts = (0, 0) if is_empty else (53, 47)
    return [torch.rand(n, 4, generator=generator) * size + low for n in counts]


def _maps(image):
    generator = torch.Generator().manual_seed(6)
    maps = torch.randn(2, 5, 16, 24, generator=generator)
    if image is not None:
        maps[0] = image  # of the first frame
    return [maps]


ADAPTERS = {
    "PointFusionNeck": (point_fusion_neck, point_fusion_inputs),
    "MapFusionNeck": (map_fusion_neck, map_fusion_inputs),
    "GeminiDynamicVFE": (dynamic_vfe, dynamic_vfe_inputs),
}

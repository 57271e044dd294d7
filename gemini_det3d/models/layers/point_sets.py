"""mmdet3d's PointNet++ modules on this package's ops: the same parameters, on any device.

Shapes: B frames, N points, M sampled points, K members of a ball, C channels.
"""

from __future__ import annotations

import torch
from mmcv.ops import QueryAndGroup
from mmdet3d.models.layers.pointnet_modules import PointFPModule, PointSAModule
from mmdet3d.models.layers.pointnet_modules.builder import SA_MODULES
from torch import Tensor

from gemini_det3d.ops import (
    ball_query,
    farthest_points,
    gather_points,
    group_points,
    three_interpolate,
    three_nn,
)
from gemini_det3d.registration import register

# Keeps the weight of a source at the target itself finite, as in the published modules.
_MIN_DISTANCE_M = 1e-8


class BallGrouper(QueryAndGroup):
    """mmcv's ``QueryAndGroup`` for balls: offsets and features of the members around centres."""

    def forward(self, points_xyz: Tensor, center_xyz: Tensor, features: Tensor | None) -> Tensor:
        """Group.

        Args:
            points_xyz: ``(B, N, 3)``.
            center_xyz: ``(B, M, 3)``.
            features: ``(B, C, N)``, or None.

        Returns:
            ``(B, 3 + C, M, K)``; offsets come first, if they are used.
        """
        index = ball_query(
            points_xyz, center_xyz, self.max_radius, self.sample_num, self.min_radius
        )
        if not self.use_xyz:
            return group_points(features, index)
        offsets = group_points(points_xyz.transpose(1, 2).contiguous(), index)
        offsets = offsets - center_xyz.transpose(1, 2)[..., None]
        if self.normalize_xyz:
            offsets = offsets / self.max_radius
        if features is None:
            return offsets
        return torch.cat([offsets, group_points(features, index)], dim=1)


@register(SA_MODULES)
class GeminiPointSAModule(PointSAModule):
    """mmdet3d's ``PointSAModule`` (same arguments, same parameters), on CPU and CUDA.

    Raises:
        ValueError: Another way of sampling than by distance, which has no op for CPU.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if list(self.fps_mod_list) != ["D-FPS"] or list(self.fps_sample_range_list) != [-1]:
            raise ValueError(
                f"fps_mod must be ['D-FPS'] over all points, got {self.fps_mod_list} "
                f"over {self.fps_sample_range_list}"
            )
        for position, grouper in enumerate(self.groupers):
            if isinstance(grouper, QueryAndGroup):
                self.groupers[position] = BallGrouper(
                    grouper.max_radius,
                    grouper.sample_num,
                    min_radius=grouper.min_radius,
                    use_xyz=grouper.use_xyz,
                    normalize_xyz=grouper.normalize_xyz,
                )

    def _sample_points(
        self,
        points_xyz: Tensor,
        features: Tensor | None,
        indices: Tensor | None,
        target_xyz: Tensor | None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Where balls are centred: at given indices, at given places, or at farthest points."""
        if self.num_point is None or (indices is None and target_xyz is not None):
            return target_xyz, indices
        if indices is None:
            indices = farthest_points(points_xyz, self.num_point[0])
        centers = gather_points(points_xyz.transpose(1, 2).contiguous(), indices)
        return centers.transpose(1, 2).contiguous(), indices


class GeminiPointFPModule(PointFPModule):
    """mmdet3d's ``PointFPModule`` (same parameters), on CPU and CUDA."""

    @classmethod
    def taking_over(cls, module: PointFPModule) -> GeminiPointFPModule:
        """The same layers, not copied."""
        taken = cls(mlp_channels=[])
        taken.mlps = module.mlps
        return taken

    def forward(
        self, target: Tensor, source: Tensor, target_feats: Tensor | None, source_feats: Tensor
    ) -> Tensor:
        """Carry features from few points to many.

        Args:
            target: ``(B, N, 3)``.
            source: ``(B, M, 3)``.
            target_feats: ``(B, C1, N)``, or None.
            source_feats: ``(B, C2, M)``.

        Returns:
            ``(B, C, N)``.
        """
        distance, index = three_nn(target, source)
        closeness = 1.0 / (distance + _MIN_DISTANCE_M)
        weights = closeness / closeness.sum(dim=2, keepdim=True)
        features = three_interpolate(source_feats, index, weights)
        if target_feats is not None:
            features = torch.cat([features, target_feats], dim=1)
        return self.mlps(features[..., None])[..., 0]

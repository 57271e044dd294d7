"""The released detector's way to compute what ours does, built from our modules and mmdet3d's code.

Same parameters, same results: the operator through `nn.MultiheadAttention` (`ReleasedFusion`), the
image sampled anew at every layer, frame by frame and level by level (mmdet3d's `PointFusion`), and
the way from voxels to points through a dense canvas of the whole range (mmdet3d's `DynamicVFE`).
The pooling itself is ours: mmdet3d's has no CPU kernel.

Shapes: N points of all frames, M voxels, C channels; coordinates ``(batch, z, y, x)``.
"""

from __future__ import annotations

import torch
from mmdet3d.models.layers.fusion_layers import PointFusion
from torch import Tensor, nn

from gemini_det3d.fusion import FusionOperator, GeminiFusion
from gemini_det3d.models.necks import PointFusionNeck
from gemini_det3d.models.voxel_encoders import GeminiDynamicVFE
from gemini_det3d.ops import find_voxels, scatter_mean

from .fusion.opponents import ReleasedFusion

__all__ = ["ReleasedVoxelEncoder", "as_released"]


class _ReleasedOperator(FusionOperator):
    """`ReleasedFusion` under the call that necks make; it knows no mask of valid tokens."""

    def __init__(self, operator: GeminiFusion) -> None:
        super().__init__(operator.dim)
        self.released = ReleasedFusion(operator)

    def fuse(self, first: Tensor, second: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Fuse (N, C) streams as one image's tokens."""
        fused = self.released(first[None], second[None])
        return fused[0][0], fused[1][0]


class ReleasedVoxelEncoder(nn.Module):
    """The released way through the layers of one of our voxel encoders, which it shares.

    Args:
        encoder: With `fuse_at='all'` and `GeminiFusion` in its necks.
    """

    def __init__(self, encoder: GeminiDynamicVFE) -> None:
        super().__init__()
        self.encoder = encoder
        operators = [_ReleasedOperator(neck.operator) for neck in encoder.fusion_layer]
        self.operators = nn.ModuleList(operators)

    def forward(self, features, coors, points=None, img_feats=None, img_metas=None):
        """As `GeminiDynamicVFE.forward`, of frames whose points all lie within the range."""
        encoder = self.encoder
        index, _ = find_voxels(coors, None)

        def to_points(values: Tensor) -> Tensor:
            return encoder.map_voxel_center_to_point(coors, values, index.coors)

        offsets = features[:, :3] - to_points(scatter_mean(features[:, :3], index))
        size, first = encoder.voxel_size_and_first_centre.to(features.dtype)
        centre = coors[:, 1:].flip(1).to(features.dtype) * size + first
        tokens = torch.cat([features, offsets, features[:, :3] - centre], dim=1)
        for layer, neck, operator in zip(encoder.vfe_layers, encoder.fusion_layer, self.operators):
            point_feats = _fuse(neck, operator, layer(tokens), img_feats, points, img_metas)
            voxel_feats = encoder.pool(point_feats, index)
            tokens = torch.cat([point_feats, to_points(voxel_feats)], dim=1)
        return voxel_feats, index.coors


def _fuse(neck: PointFusionNeck, operator, point_feats, img_feats, points, metas) -> Tensor:
    """One layer's fusion, its own samples included."""
    lidar = neck.pts_transform(point_feats)
    sampled = PointFusion.obtain_mlvl_feats(neck, img_feats, points, metas)
    camera, lidar = operator(neck.img_transform(sampled), lidar)
    exists = lidar.new_ones(len(lidar), dtype=torch.bool)
    fused = torch.relu(neck.blend(camera, lidar, first_exists=exists))
    return neck.fuse_conv(fused) if neck.fuse_out else fused


def as_released(model: nn.Module) -> nn.Module:
    """A detector of ours whose voxel encoder goes the released way; changed in place."""
    model.pts_voxel_encoder = ReleasedVoxelEncoder(model.pts_voxel_encoder)
    return model

"""Dynamic voxel encoding with the image fused in after every layer.

mmdet3d's ``DynamicVFE`` (dynamic voxels: Zhou et al., CoRL 2019) fuses after its last layer only;
the released GeminiFusion detector does so after each layer, so later layers and the voxels'
maxima already see the camera.

Shapes: N points of all frames, M voxels, C channels; coordinates ``(batch, z, y, x)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet3d.models.voxel_encoders import DynamicVFE
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.geometry import send
from gemini_det3d.models.necks.image_sampler import PointSamples
from gemini_det3d.models.necks.point_fusion import PointFusionNeck, read_image
from gemini_det3d.models.sensor_metas import sensor_mask
from gemini_det3d.ops import VoxelIndex, find_voxels, scatter_max, scatter_mean
from gemini_det3d.registration import register


@register(MODELS)
class GeminiDynamicVFE(DynamicVFE):
    """``DynamicVFE`` on any device, for any number of points, with fusion at chosen layers.

    Args:
        feat_channels: Output channels of each layer.
        fusion_layer: Config of the last layer's fusion neck; the earlier layers get the same with
            their own width (``mid_channels = out_channels = feat_channels[i]``). None: LiDAR only.
        fuse_at: 'all' layers, as in the released GeminiFusion detector, or 'last', as in MVX-Net.
        mode: 'max' or 'avg', how a voxel pools its points.
        norm_cfg: Normalisation of the layers; the default survives a single point.
        **kwargs: The other arguments of ``DynamicVFE``.

    Raises:
        ValueError: ``fuse_at`` or ``mode`` is none of the above, ``feat_channels`` is empty, or
            the neck's ``pts_channels`` is not the last layer's width.
    """

    def __init__(
        self,
        in_channels: int = 4,
        feat_channels: Sequence[int] = (64, 64),
        fusion_layer: Mapping[str, Any] | None = None,
        fuse_at: str = "all",
        mode: str = "max",
        norm_cfg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        _check_arguments(feat_channels, fusion_layer, fuse_at, mode)
        super().__init__(
            in_channels=in_channels,
            feat_channels=list(feat_channels),
            norm_cfg=dict(norm_cfg or dict(type="SmallBatchNorm1d", eps=1e-3, momentum=0.01)),
            mode=mode,
            **kwargs,
        )
        self.fuse_at = fuse_at
        grid = [[self.vx, self.vy, self.vz], [self.x_offset, self.y_offset, self.z_offset]]
        self.register_buffer("voxel_size_and_first_centre", torch.tensor(grid), persistent=False)
        self.pool = scatter_max if mode == "max" else scatter_mean
        if fusion_layer is not None:
            self.fusion_layer = _build_necks(fusion_layer, feat_channels, fuse_at)

    def forward(
        self,
        features: Tensor,
        coors: Tensor,
        points: Sequence[Tensor] | None = None,
        img_feats: Sequence[Tensor] | None = None,
        img_metas: Sequence[Mapping[str, Any]] | None = None,
    ) -> tuple[Tensor, Tensor] | Tensor:
        """Encode points into voxels.

        Args:
            features: ``(N, C)`` points of all frames, x y z first, metres.
            coors: ``(N, 4)``; a negative coordinate marks a point outside the range, which is
                left out.
            points: B tensors ``(N_b, C)``, the same points per frame.
            img_feats: Pyramid of ``(B, C, h, w)`` maps, or None without a camera.
            img_metas: Metadata of the B frames. The points of a frame whose ``sensor_mask`` says
                that it has no LiDAR are left out.

        Returns:
            ``(M, C')`` features and ``(M, 4)`` coordinates of the voxels, or ``(N', C')`` features
            of the kept points with ``return_point_feats``.
        """
        index, rows = find_voxels(coors, _of_real_lidars(coors, img_metas))
        if rows is not None:
            features, coors = features[rows], coors[rows]
            points = _kept(points, rows)
        samples = self._samples(img_feats, points, img_metas)
        point_feats, voxel_feats = self._decorated(features, coors, index), None
        for i, layer in enumerate(self.vfe_layers):
            point_feats = _encoded(layer, point_feats, voxel_feats, index)
            if self.fusion_layer is not None and self.fuse_at == "all":
                point_feats = self.fusion_layer[i].fuse(samples[i], point_feats)
            elif self.fusion_layer is not None and layer is self.vfe_layers[-1]:
                point_feats = self._fuse_last(point_feats, img_feats, points, img_metas)
            voxel_feats = self.pool(point_feats, index)
        if self.return_point_feats:
            return point_feats
        return voxel_feats, index.coors

    def _decorated(self, features: Tensor, coors: Tensor, index: VoxelIndex) -> Tensor:
        """Points with their offsets to the voxel's mean and centre and their distance."""
        columns = [features]
        if self._with_cluster_center:
            mean = scatter_mean(features[:, :3], index)
            columns.append(features[:, :3] - mean[index.of_point])
        if self._with_voxel_center:
            size, first = self.voxel_size_and_first_centre.to(features.dtype)
            centre = coors[:, 1:].flip(1).to(features.dtype) * size + first
            columns.append(features[:, :3] - centre)
        if self._with_distance:
            columns.append(features[:, :3].norm(dim=1, keepdim=True))
        return torch.cat(columns, dim=1)

    def _samples(
        self,
        img_feats: Sequence[Tensor] | None,
        points: Sequence[Tensor] | None,
        metas: Sequence[Mapping[str, Any]] | None,
    ) -> Sequence[PointSamples | None]:
        """What each layer's neck reads from the image, looked up once for all of them."""
        if self.fusion_layer is None or self.fuse_at == "last" or img_feats is None:
            return [None] * self.num_vfe
        return read_image(self.fusion_layer, img_feats, points, metas)

    def _fuse_last(
        self,
        point_feats: Tensor,
        img_feats: Sequence[Tensor] | None,
        points: Sequence[Tensor] | None,
        metas: Sequence[Mapping[str, Any]] | None,
    ) -> Tensor:
        """The call that every fusion layer of mmdet3d has, its own ``PointFusion`` included."""
        if img_feats is None and not isinstance(self.fusion_layer, PointFusionNeck):
            return point_feats  # mmdet3d's PointFusion cannot do without an image
        return self.fusion_layer(img_feats, points, point_feats, metas)


def _encoded(
    layer: nn.Sequential, points: Tensor, voxels: Tensor | None, index: VoxelIndex
) -> Tensor:
    """A layer of the points' features beside their voxels', which are multiplied once a voxel."""
    if voxels is None:
        return layer(points)
    linear = layer[0]
    of_points, of_voxels = linear.weight.split([points.shape[1], voxels.shape[1]], dim=1)
    own = F.linear(points, of_points, linear.bias)
    return layer[1:](own + F.linear(voxels, of_voxels)[index.of_point])


def _of_real_lidars(coors: Tensor, metas: Sequence[Mapping[str, Any]] | None) -> Tensor | None:
    """Which points ``(N,)`` come from a LiDAR that the frame really has; None: all."""
    has_lidar = None if metas is None else sensor_mask(metas, "lidar")[:, 0]
    if has_lidar is None or has_lidar.all():
        return None
    return send(has_lidar, coors.device)[coors[:, 0].long()]


def _kept(points: Sequence[Tensor] | None, rows: Tensor) -> Sequence[Tensor] | None:
    """The chosen rows of the frames' points, frame by frame."""
    if points is None:
        return None
    kept = torch.zeros(sum(map(len, points)), dtype=torch.bool, device=rows.device)
    kept[rows] = True
    return [p[k] for p, k in zip(points, kept.split([len(p) for p in points]))]


def _build_necks(config: Mapping[str, Any], widths: Sequence[int], fuse_at: str) -> nn.Module:
    last = MODELS.build(dict(config))
    if fuse_at == "last":
        return last
    if not isinstance(last, PointFusionNeck):
        raise ValueError("fuse_at='all' needs a PointFusionNeck as fusion_layer")
    shared = {**config, "sampler": last.sampler}
    earlier = [
        MODELS.build({**shared, "pts_channels": w, "mid_channels": w, "out_channels": w})
        for w in widths[:-1]
    ]
    return nn.ModuleList([*earlier, last])


def _check_arguments(feat_channels: Any, fusion_layer: Any, fuse_at: str, mode: str) -> None:
    if not feat_channels:
        raise ValueError("feat_channels of the voxel encoder is empty")
    if fuse_at not in ("all", "last"):
        raise ValueError(f"fuse_at must be 'all' or 'last', got {fuse_at!r}")
    if mode not in ("max", "avg"):
        raise ValueError(f"mode must be 'max' or 'avg', got {mode!r}")
    if fusion_layer is None:
        return
    pts_channels = fusion_layer.get("pts_channels")
    if pts_channels is not None and pts_channels != feat_channels[-1]:
        raise ValueError(
            f"fusion_layer.pts_channels is {pts_channels}, feat_channels ends with "
            f"{feat_channels[-1]}; they must be equal"
        )

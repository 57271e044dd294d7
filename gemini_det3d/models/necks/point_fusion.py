"""Fusion at the points: every LiDAR point reads the image where it falls.

An adapter: it lays image features and point features side by side as two streams of N tokens and
leaves the rest to a fusion operator (GeminiFusion, Jia et al., ICML 2024, in its KITTI form).

Shapes: B frames, N points of all frames, L pyramid levels, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmdet3d.models.layers.fusion_layers.point_fusion import PointFusion
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.fusion import StreamBlend
from gemini_det3d.geometry import in_view, project, sample_maps
from gemini_det3d.models.layers import SmallBatchNorm1d
from gemini_det3d.models.metas import PROJECTION_KEY, image_geometry, sensor_mask
from gemini_det3d.models.operators import build_operator
from gemini_det3d.registration import register


@dataclass(frozen=True)
class PointSamples:
    """What the image says at each point.

    Attributes:
        features: ``(N, C)``, zeros where the point is outside the padded image.
        valid: ``(N,)`` bool, whether the camera sees the point; None: take every row as seen.
        counts: Points of each frame; they add up to N.
    """

    features: Tensor
    valid: Tensor | None
    counts: tuple[int, ...]


@register(MODELS)
class PointFusionNeck(PointFusion):
    """mmdet3d's ``PointFusion`` with the sum replaced by any registered fusion operator.

    Takes every argument of ``PointFusion`` and can stand wherever that can. Points of a frame
    whose camera is missing (``sensor_mask``, see :func:`gemini_det3d.models.metas.sensor_mask`)
    read nothing of it.

    Args:
        img_channels: Channels of the image features, one number or one per level.
        pts_channels: Channels of the point features.
        mid_channels: Channels of the lateral convolutions.
        out_channels: Channels of both streams in the operator, and of the output.
        img_levels: Which levels of the pyramid to read.
        operator: Config of the operator; ``dim`` is set to ``out_channels``. The camera is its
            first stream, the LiDAR its second.
        outside_image: 'invalid': a point that the camera does not see (behind it, or outside the
            image) keeps its LiDAR feature and reads nothing. 'zeros': such a point reads zeros,
            or, behind the camera, mirrored pixels, as in the released code.
        meta_defaults: Values for metadata entries that the pipeline is known not to write; see
            :func:`gemini_det3d.models.metas.image_geometry`.
        pixel_offset: Added to the pixels that the calibration gives, so that left and top edge of
            the image are 0: (0.5, 0.5) for KITTI and nuScenes, (-0.5, -0.5) for SUN RGB-D; (0, 0)
            takes them as they are, as mmdet3d and the released detector do (see
            :mod:`gemini_det3d.geometry`).
        **kwargs: The other arguments of ``PointFusion``.

    Raises:
        ValueError: Arguments that do not fit each other; the message names them.
    """

    def __init__(
        self,
        img_channels: list[int] | int,
        pts_channels: int,
        mid_channels: int,
        out_channels: int,
        img_levels: list[int] | int = 3,
        operator: dict | None = None,
        outside_image: str = "invalid",
        meta_defaults: Mapping[str, Any] | None = None,
        pixel_offset: tuple[float, float] = (0.0, 0.0),
        **kwargs,
    ) -> None:
        img_levels = [img_levels] if isinstance(img_levels, int) else list(img_levels)
        if isinstance(img_channels, int):
            img_channels = [img_channels] * len(img_levels)
        _check_arguments(
            img_channels, img_levels, mid_channels, out_channels, outside_image, kwargs
        )
        super().__init__(
            list(img_channels), pts_channels, mid_channels, out_channels, img_levels, **kwargs
        )
        # Same parameters under the same names, for any number of points.
        self.img_transform[1] = SmallBatchNorm1d(out_channels, eps=1e-3, momentum=0.01)
        self.pts_transform[1] = SmallBatchNorm1d(out_channels, eps=1e-3, momentum=0.01)
        if self.fuse_out:
            self.fuse_conv[1] = SmallBatchNorm1d(out_channels, eps=1e-3, momentum=0.01)
        self.operator = build_operator(operator, out_channels)
        self.blend = StreamBlend()
        self.out_channels = out_channels
        self.outside_image = outside_image
        self.meta_defaults = dict(meta_defaults or {})
        self.pixel_offset = (float(pixel_offset[0]), float(pixel_offset[1]))

    def forward(
        self,
        img_feats: Sequence[Tensor] | None,
        pts: Sequence[Tensor],
        pts_feats: Tensor,
        img_metas: Sequence[Mapping[str, Any]],
    ) -> Tensor:
        """Fuse image features into point features.

        Args:
            img_feats: Pyramid of ``(B, C, h, w)`` maps; None when there is no image at all.
            pts: B tensors ``(N_b, 3 or more)``, augmented points, metres.
            pts_feats: ``(N, pts_channels)``, the frames' points one after the other.
            img_metas: Metadata of the B frames.

        Returns:
            ``(N, out_channels)``.
        """
        (samples,) = sample_shared([self], img_feats, pts, img_metas)
        return self.fuse(samples, pts_feats)

    def fuse(self, samples: PointSamples | None, pts_feats: Tensor) -> Tensor:
        """The second half of ``forward``, for samples taken earlier.

        Args:
            samples: Image features of the N points, or None without an image.
            pts_feats: ``(N, pts_channels)``.

        Returns:
            ``(N, out_channels)``.
        """
        lidar = self.pts_transform(pts_feats)
        valid = samples.valid if samples else lidar.new_zeros(lidar.shape[0], dtype=torch.bool)
        camera = self._camera_tokens(samples, valid, lidar)
        camera, lidar = self._operate(camera, lidar, valid, samples)
        fused = self.blend(camera, lidar, first_exists=valid)
        if self.activate_out:
            fused = F.relu(fused)
        return self.fuse_conv(fused) if self.fuse_out else fused

    def _operate(
        self, camera: Tensor, lidar: Tensor, valid: Tensor | None, samples: PointSamples | None
    ) -> tuple[Tensor, Tensor]:
        """The operator on both streams, frame by frame where it would mix their tokens."""
        if samples is None or not self.operator.mixes_tokens:
            return self.operator(camera, lidar, valid)
        counts = list(samples.counts)
        masks = [None] * len(counts) if valid is None else valid.split(counts)
        frames = zip(camera.split(counts), lidar.split(counts), masks)
        fused = [self.operator(*frame) for frame in frames]
        cameras, lidars = zip(*fused)
        return torch.cat(cameras), torch.cat(lidars)

    def lateral(self, img_feats: Sequence[Tensor]) -> list[Tensor]:
        """The pyramid's levels as this neck reads them: L maps ``(B, C, h, w)``."""
        levels = [img_feats[level] for level in self.img_levels]
        if self.lateral_convs is None:
            return levels
        return [conv(level) for conv, level in zip(self.lateral_convs, levels)]

    def _camera_tokens(
        self, samples: PointSamples | None, valid: Tensor | None, lidar: Tensor
    ) -> Tensor:
        """Image stream ``(N, C)``; rows that the camera does not see are zeros, unread."""
        if samples is None:
            return torch.zeros_like(lidar)
        if valid is None or bool(valid.all()):
            return self._dropout(self.img_transform(samples.features))
        seen = valid.nonzero()[:, 0]  # so that statistics come from real pixels only
        rows = self._dropout(self.img_transform(samples.features[seen]))
        return rows.new_zeros(lidar.shape).index_copy(0, seen, rows)

    def _dropout(self, tokens: Tensor) -> Tensor:
        return F.dropout(tokens, self.dropout_ratio, self.training)


def sample_shared(
    necks: Sequence[PointFusionNeck],
    img_feats: Sequence[Tensor] | None,
    pts: Sequence[Tensor],
    img_metas: Sequence[Mapping[str, Any]],
) -> list[PointSamples | None]:
    """Read the image once for several necks that look at it in the same way.

    Points are projected once; at each level the necks' lateral maps lie side by side, so each point
    is looked up once for all of them.

    Args:
        necks: Necks with equal sampling arguments (see :meth:`sampling_key`).
        img_feats: Pyramid of ``(B, C, h, w)`` maps, or None.
        pts: B tensors ``(N_b, 3 or more)``.
        img_metas: Metadata of the B frames.

    Returns:
        Samples for each neck; None for each without an image.
    """
    if img_feats is None:
        return [None] * len(necks)
    first = necks[0]
    pixels, valid, padded = _locate(first, pts, img_metas)
    laterals = [neck.lateral(img_feats) for neck in necks]  # necks x levels
    maps = [torch.cat(level, dim=1) if len(level) > 1 else level[0] for level in zip(*laterals)]
    sampled = sample_maps(
        maps,
        pixels,
        padded,
        mode="bilinear" if first.aligned else "nearest",
        padding_mode=first.padding_mode,
        align_corners=first.align_corners,
    )
    counts = tuple(map(len, pts))
    return [PointSamples(columns, valid, counts) for columns in _columns_of(sampled, laterals)]


def sampling_key(neck: nn.Module) -> tuple | None:
    """Necks with equal keys can share their samples; None for a module of another kind."""
    if not isinstance(neck, PointFusionNeck):
        return None
    return (
        neck.coord_type,
        tuple(neck.img_levels),
        neck.aligned,
        neck.align_corners,
        neck.padding_mode,
        neck.outside_image,
        tuple(sorted(neck.meta_defaults)),
        neck.pixel_offset,
    )


def _locate(neck: PointFusionNeck, pts: Sequence[Tensor], metas: Sequence) -> tuple:
    """Pixels of each frame's points, which of them are seen, and the padded image's size."""
    geometries = [
        image_geometry(meta, neck.coord_type, neck.meta_defaults, neck.pixel_offset)
        for meta in metas
    ]
    has_camera = sensor_mask(metas, "camera")[:, 0].tolist()
    takes_all = neck.outside_image == "zeros"
    pixels, valid = [], []
    for points, geometry, exists in zip(pts, geometries, has_camera):
        uv, depth = project(points[:, :3], geometry.matrix)
        pixels.append(uv)
        valid.append((takes_all | in_view(uv, depth, *geometry.size)) & exists)
    padded = geometries[0].padded_size
    return pixels, None if takes_all and all(has_camera) else torch.cat(valid), padded


def _columns_of(sampled: Tensor, laterals: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Undo the side-by-side: columns are ordered level by level, neck by neck inside a level."""
    widths = [neck[level].shape[1] for level in range(len(laterals[0])) for neck in laterals]
    pieces = sampled.split(widths, dim=1)
    return [torch.cat(pieces[i :: len(laterals)], dim=1) for i in range(len(laterals))]


def _check_arguments(
    img_channels: Sequence[int],
    img_levels: Sequence[int],
    mid_channels: int,
    out_channels: int,
    outside_image: str,
    others: Mapping[str, Any],
) -> None:
    if len(img_channels) != len(img_levels):
        raise ValueError(
            f"img_channels has {len(img_channels)} entries, img_levels has {len(img_levels)}"
        )
    if others.get("fuse_out") and mid_channels != out_channels:
        raise ValueError(
            f"fuse_out needs mid_channels == out_channels, got {mid_channels} and {out_channels}"
        )
    if outside_image not in ("invalid", "zeros"):
        raise ValueError(f"outside_image must be 'invalid' or 'zeros', got {outside_image!r}")
    coord_type = others.get("coord_type", "LIDAR")
    if coord_type not in PROJECTION_KEY:
        raise ValueError(f"coord_type must be one of {sorted(PROJECTION_KEY)}, got {coord_type!r}")

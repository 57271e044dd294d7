"""Fusion at the points: every LiDAR point reads the image where it falls.

An adapter: it lays image features and point features side by side as two streams of N tokens and
leaves the rest to a fusion operator (GeminiFusion, Jia et al., ICML 2024, in its KITTI form).

Shapes: B frames, N points of all frames, L pyramid levels, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet3d.models.layers.fusion_layers.point_fusion import PointFusion
from mmdet3d.registry import MODELS
from torch import Tensor

from gemini_det3d.fusion import StreamBlend
from gemini_det3d.fusion.base import check_many, check_tensors
from gemini_det3d.models.layers import SmallBatchNorm1d, keep_in_graph
from gemini_det3d.models.necks.image_sampler import ImageSampler, PointSamples
from gemini_det3d.models.necks.touched_tiles import can_read_tiles, read_tiles
from gemini_det3d.models.operators import build_operator
from gemini_det3d.registration import register


@register(MODELS)
class PointFusionNeck(PointFusion):
    """mmdet3d's ``PointFusion`` with the sum replaced by any registered fusion operator.

    Takes every argument of ``PointFusion`` and can stand wherever that can. Points of a frame
    whose camera is missing (``sensor_mask``, see
    :func:`gemini_det3d.models.sensor_metas.sensor_mask`) read nothing of it.

    Args:
        img_channels: Channels of the image features, one number or one per level.
        pts_channels: Channels of the point features.
        mid_channels: Channels of the lateral convolutions.
        out_channels: Channels of both streams in the operator, and of the output.
        img_levels: Which levels of the pyramid to read.
        operator: Config of the operator; ``dim`` is set to ``out_channels``. The camera is its
            first stream, the LiDAR its second.
        sampler: How points read the image, shared with other necks; None: made of the arguments
            of ``PointFusion`` and of the next three.
        outside_image: See :class:`ImageSampler`; with 'invalid' a point that the camera does not
            see keeps its LiDAR feature.
        meta_defaults: See :class:`ImageSampler`.
        pixel_offset: See :class:`ImageSampler`: (0.5, 0.5) for KITTI and nuScenes, (-0.5, -0.5)
            for SUN RGB-D; (0, 0) takes pixels as they are, as the released detector does.
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
        sampler: ImageSampler | None = None,
        outside_image: str = "invalid",
        meta_defaults: Mapping[str, Any] | None = None,
        pixel_offset: tuple[float, float] = (0.0, 0.0),
        **kwargs: Any,
    ) -> None:
        img_levels = [img_levels] if isinstance(img_levels, int) else list(img_levels)
        if isinstance(img_channels, int):
            img_channels = [img_channels] * len(img_levels)
        _check_arguments(img_channels, img_levels, mid_channels, out_channels, kwargs)
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
        self.out_channels, self.img_channels = out_channels, tuple(img_channels)
        self.sampler = sampler or ImageSampler(
            tuple(img_levels),
            self.coord_type,
            "bilinear" if self.aligned else "nearest",
            self.padding_mode,
            self.align_corners,
            outside_image,
            dict(meta_defaults or {}),
            (float(pixel_offset[0]), float(pixel_offset[1])),
        )

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

        Raises:
            TypeError: Features or points are no tensors; the message names them.
        """
        samples = None
        if img_feats is not None:
            check_many("PointFusionNeck", img_feats, "img_feats")
            check_many("PointFusionNeck", pts, "pts")
            (samples,) = read_image([self], img_feats, pts, img_metas)
        return self.fuse(samples, pts_feats)

    def fuse(self, samples: PointSamples | None, pts_feats: Tensor) -> Tensor:
        """The second half of ``forward``, for samples taken earlier.

        Args:
            samples: Image features of the N points, or None without an image.
            pts_feats: ``(N, pts_channels)``.

        Returns:
            ``(N, out_channels)``.
        """
        check_tensors("PointFusionNeck", pts_feats=pts_feats)
        lidar = self.pts_transform(pts_feats)
        valid = samples.valid if samples else lidar.new_zeros(lidar.shape[0], dtype=torch.bool)
        camera = self._camera_tokens(samples, lidar)
        bias = self.operator.doubt_bias(camera, lidar, valid, samples.counts if samples else ())
        camera, lidar = self._operate(camera, lidar, valid, samples)
        fused = self.blend(camera, lidar, first_exists=valid, bias=bias)
        if self.activate_out:
            fused = F.relu(fused)
        return self.fuse_conv(fused) if self.fuse_out else fused

    def _operate(
        self, camera: Tensor, lidar: Tensor, valid: Tensor | None, samples: PointSamples | None
    ) -> tuple[Tensor, Tensor]:
        """The operator on both streams, frame by frame where it would mix their tokens."""
        if samples is None or not self.operator.mixes_tokens:
            return self.operator(camera, lidar, valid, samples.counts if samples else ())
        counts = list(samples.counts)
        masks = [None] * len(counts) if valid is None else valid.split(counts)
        frames = zip(camera.split(counts), lidar.split(counts), masks)
        fused = [self.operator(*frame) for frame in frames]
        cameras, lidars = zip(*fused)
        return torch.cat(cameras), torch.cat(lidars)

    def lateral(self, img_feats: Sequence[Tensor]) -> list[Tensor]:
        """The pyramid's levels as this neck reads them: L maps ``(B, C, h, w)``."""
        levels = self.sampler.levels(img_feats)
        if self.lateral_convs is None:
            return levels
        return [conv(level) for conv, level in zip(self.lateral_convs, levels)]

    def _camera_tokens(self, samples: PointSamples | None, lidar: Tensor) -> Tensor:
        """Image stream ``(N, C)``; rows that the camera does not see are zeros, unread."""
        if samples is None:
            return torch.zeros_like(lidar) + keep_in_graph(self.img_transform, self.lateral_convs)
        linear, norm = self.img_transform
        rows = samples.features
        if not samples.is_projected:
            rows = linear(rows if samples.seen is None else rows[samples.seen])
        rows = self._dropout(norm(rows))  # statistics come from real pixels only
        if samples.seen is None:
            return rows
        return rows.new_zeros(lidar.shape).index_copy(0, samples.seen, rows)

    def _dropout(self, tokens: Tensor) -> Tensor:
        return F.dropout(tokens, self.dropout_ratio, self.training)


def read_image(
    necks: Sequence[PointFusionNeck],
    img_feats: Sequence[Tensor],
    points: Sequence[Tensor],
    metas: Sequence[Mapping[str, Any]],
) -> list[PointSamples]:
    """What each of several necks with one sampler reads from the image, looked up once for all.

    Args:
        necks: At least one.
        img_feats: Pyramid of ``(B, C, h, w)`` maps.
        points: B tensors ``(N_b, 3 or more)``, augmented points, metres.
        metas: Metadata of the B frames.

    Raises:
        ValueError: The pyramid has no such level, or maps of other channels than the necks'.
    """
    sampler = necks[-1].sampler
    levels = sampler.levels(img_feats)
    channels = tuple(level.shape[1] for level in levels)
    for neck in necks:
        if neck.img_channels != channels:
            raise ValueError(
                f"{type(neck).__name__}: img_channels={list(neck.img_channels)}, and the maps at "
                f"img_levels={list(sampler.img_levels)} have {list(channels)} channels"
            )
    if not can_read_tiles(necks, levels):
        return sampler([neck.lateral(img_feats) for neck in necks], points, metas)
    there = sampler.locate(points, metas)
    pixels, of_frame = there.pixels, there.of_frame
    if there.seen is not None:
        pixels, of_frame = pixels[there.seen], of_frame[there.seen]
    tokens = read_tiles(necks, levels, pixels, of_frame, there.padded_size)
    return [PointSamples(rows, there.valid, there.seen, there.counts, True) for rows in tokens]


def _check_arguments(
    img_channels: Sequence[int],
    img_levels: Sequence[int],
    mid_channels: int,
    out_channels: int,
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

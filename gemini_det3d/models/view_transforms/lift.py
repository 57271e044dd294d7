"""Camera features into a bird's-eye-view map, in plain torch.

Every cell of a feature map is lifted along its ray with a distribution over depth, predicted from
the image (Philion & Fidler, ECCV 2020) and, where LiDAR points fall into the cell, measured; the
lifted features are summed in the cells of the map.

Shapes: N views of all samples, C channels, h x w feature map, D depth bins, H x W map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmcv.cnn import ConvModule
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.geometry import (
    BevGrid,
    CellOrder,
    DepthBins,
    cells_in_view,
    feature_pixels,
    lift_pixels,
    measured_depth,
    order_by_cell,
    pool_to_cells,
    send,
)
from gemini_det3d.models.layers import keep_in_graph
from gemini_det3d.models.metas import ImageGeometry
from gemini_det3d.models.view_transforms.views import Views
from gemini_det3d.registration import register


@dataclass(frozen=True)
class Plan:
    """What the calibration of B samples decides.

    Attributes:
        order: Lifted entries in the order of the map's cells.
        seen: ``(B, H, W)`` bool, the cells that a view of the sample sees.
    """

    order: CellOrder
    seen: Tensor


@register(MODELS)
class LiftToBEV(nn.Module):
    """Views of any number of cameras into one map per sample.

    Args:
        in_channels: Channels of the image features.
        out_channels: Channels of the map.
        point_cloud_range: ``[x, y, z, x, y, z]`` of the map, metres, as of the LiDAR's.
        cell_size_m: ``[along x, along y]`` of a cell.
        depth_m: ``[nearest, farthest, step]`` of the depth bins.
        feature_level: Which level of the image neck's pyramid to lift.
        mid_channels: Channels of the depth branch; None: ``in_channels``.
        with_lidar_depth: Mix the depth that LiDAR points measure into the predicted distribution,
            with a learned share. Cells without a point keep the predicted one.
        num_refine: 3 x 3 convolutions on the map.
        norm_cfg: Normalisation of the convolutions.
        depth_loss_weight: Of ``loss_depth``, the cross-entropy of the predicted depth with what
            LiDAR points measure, in training (Li et al., BEVDepth, AAAI 2023): what is predicted
            counts where no LiDAR measures. The detector adds it to its losses.

    Raises:
        ValueError: The grid or the depth bins cannot be, or the weight is negative; the message
            names the key.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        point_cloud_range: Sequence[float],
        cell_size_m: Sequence[float],
        depth_m: Sequence[float],
        feature_level: int = 0,
        mid_channels: int | None = None,
        with_lidar_depth: bool = True,
        num_refine: int = 1,
        norm_cfg: dict | None = None,
        depth_loss_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if not depth_loss_weight >= 0:
            raise ValueError(f"LiftToBEV: depth_loss_weight={depth_loss_weight} must be 0 or more")
        self.depth_loss_weight = depth_loss_weight
        self._losses: dict[str, Tensor] = {}
        self.grid = BevGrid.from_config(point_cloud_range, cell_size_m)
        self.bins = DepthBins(*depth_m)
        self.out_channels, self.feature_level = out_channels, feature_level
        norm_cfg = norm_cfg or dict(type="BN", eps=1e-3, momentum=0.01)
        mid_channels = mid_channels or in_channels
        self.depth_net = nn.Sequential(
            ConvModule(in_channels, mid_channels, 3, padding=1, norm_cfg=norm_cfg),
            nn.Conv2d(mid_channels, len(self.bins) + out_channels, 1),
        )
        self._last_plan: tuple[tuple, Plan] | None = None
        # logit of the share of the measurement; 0.88 at the start
        self.lidar_trust = nn.Parameter(torch.tensor(2.0)) if with_lidar_depth else None
        self.refine = nn.Sequential(
            *(
                ConvModule(out_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg)
                for _ in range(num_refine)
            )
        )

    def forward(
        self,
        features: Tensor,
        geometries: Sequence[ImageGeometry],
        sample_of: Sequence[int],
        points: Sequence[Tensor | None],
    ) -> tuple[Tensor, Tensor]:
        """Lift the views that exist; a missing one is simply not among them.

        Args:
            features: ``(N, in_channels, h, w)`` of the N views.
            geometries: Of the N views.
            sample_of: Sample that each view belongs to, in ascending order.
            points: LiDAR points ``(n, 3 or more)`` of each of the B samples, None without LiDAR.

        Returns:
            ``(B, out_channels, H, W)`` map, zeros for samples without a view; and ``(B, H, W)``
            bool, the cells that a view of the sample sees.
        """
        shape = (len(points), *self.grid.shape)
        if not len(geometries):
            bev = features.new_zeros(len(points), self.out_channels, *self.grid.shape)
            seen = torch.zeros(shape, dtype=torch.bool, device=bev.device)
            self._keep_loss(None, None)
            return bev + keep_in_graph(self), seen
        logits, context = self.depth_net(features).split([len(self.bins), self.out_channels], dim=1)
        views = Views.pack(geometries, features.device)
        measured = self._measured(logits, views, sample_of, points)
        self._keep_loss(logits, measured)
        depth = self.depth_distribution(logits, measured)
        # Only samples with a view: the others would be zeros to the batch normalisation.
        with_view = sorted(set(sample_of))
        rank = [with_view.index(sample) for sample in sample_of]
        plan = self._plan(views, tuple(logits.shape[-2:]), rank)
        refined = self.refine(self._splat(context, depth, plan, len(with_view)))
        if len(with_view) == len(points):
            return refined, plan.seen
        rows = send(with_view, refined.device)
        bev = refined.new_zeros(len(points), *refined.shape[1:]).index_copy(0, rows, refined)
        seen = torch.zeros(shape, dtype=torch.bool, device=rows.device)
        return bev, seen.index_copy(0, rows, plan.seen)

    def depth_distribution(self, logits: Tensor, measured: Tensor | None) -> Tensor:
        """Predicted and measured depth as one distribution.

        Args:
            logits: ``(N, D, h, w)``.
            measured: ``(N, D, h, w)`` shares, all zero where nothing was measured; or None.

        Returns:
            ``(N, D, h, w)`` that sums to 1 over D.
        """
        predicted = logits.float().softmax(dim=1)
        if measured is None or self.lidar_trust is None:
            return predicted
        share = self.lidar_trust.sigmoid() * measured.any(dim=1, keepdim=True)
        return predicted + share * (measured - predicted)

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Take the loss of the latest training forward; once, as a fusion operator's."""
        losses, self._losses = self._losses, {}
        return losses

    def __getstate__(self) -> dict:
        """Everything but the loss, whose graph can be neither copied nor pickled."""
        return {**self.__dict__, "_losses": {}}

    def _has_loss(self) -> bool:
        return self.training and self.depth_loss_weight > 0

    def _keep_loss(self, logits: Tensor | None, measured: Tensor | None) -> None:
        """Hold the loss of a training forward; nothing lost without a view, for all ranks alike."""
        if not self._has_loss():
            return
        if logits is None or measured is None:
            loss = next(self.parameters()).new_zeros(())
        else:
            loss = depth_loss(logits, measured)
        self._losses = {"loss_depth": self.depth_loss_weight * loss}

    def _measured(
        self, logits: Tensor, views: Views, sample_of: Sequence[int], points: Sequence
    ) -> Tensor | None:
        if self.lidar_trust is None and not self._has_loss():
            return None
        measured = []
        for sample in sorted(set(sample_of)):  # views are in the order of their samples
            first, number = sample_of.index(sample), sample_of.count(sample)
            chosen = slice(first, first + number)
            if points[sample] is None:
                measured.append(torch.zeros_like(logits[chosen], dtype=torch.float32))
                continue
            size = (views.size[0][chosen], views.size[1][chosen])
            matrix, padded = views.matrix[chosen], views.padded_size
            measured.append(
                measured_depth(
                    points[sample], matrix, size, padded, tuple(logits.shape[-2:]), self.bins
                )
            )
        return torch.cat(measured)

    def _plan(self, views: Views, feature_size: tuple[int, int], rank: Sequence[int]) -> Plan:
        """What follows from the calibration alone; the last one is kept for a rig that stays."""
        # what is made in inference mode is of no use in a training
        mode = torch.is_inference_mode_enabled()
        key = (views.key, feature_size, tuple(rank), views.matrix.device, mode)
        last = self._last_plan  # read once: another thread may replace it
        if last is not None and last[0] == key:
            return last[1]
        num_cells = math.prod(self.grid.shape)
        place = send(rank, views.matrix.device)
        cells = self.cells_of(views, feature_size)
        offset = place.view(-1, 1, 1, 1) * num_cells
        cells = torch.where(cells >= 0, cells + offset, cells)
        order = order_by_cell(_by_pixel(cells), (max(rank) + 1) * num_cells)
        seen = cells_in_view(
            self.grid, views.matrix, views.shows, (self.bins.near_m, self.bins.far_m)
        )
        counts = torch.zeros(max(rank) + 1, *self.grid.shape, device=seen.device)
        plan = Plan(order, counts.index_add(0, place, seen.to(counts.dtype)) > 0)
        self._last_plan = (key, plan)
        return plan

    def _splat(self, context: Tensor, depth: Tensor, plan: Plan, num_samples: int) -> Tensor:
        """Sum the lifted features in their cells: (num_samples, C, H, W)."""
        height, width = self.grid.shape
        num_cells = num_samples * height * width
        pooled = pool_to_cells(_by_pixel(context), _by_pixel(depth), plan.order, num_cells)
        pooled = pooled.view(num_samples, height, width, -1)
        return pooled.permute(0, 3, 1, 2).contiguous()

    def cells_of(self, views: Views, feature_size: tuple[int, int]) -> Tensor:
        """Cell of each bin of each feature cell.

        Args:
            views: N views.
            feature_size: ``(h, w)``.

        Returns:
            ``(N, D, h, w)`` int64; -1 outside the map, and for feature cells that show nothing
            (padding, empty corners).
        """
        device = views.matrix.device
        pixels = feature_pixels(feature_size, views.padded_size, device)
        points = lift_pixels(pixels, self.bins.centres(device), views.matrix, views.inverse)
        shown = views.shows(pixels.flatten(0, 1)).unflatten(1, (1, *feature_size))
        return self.grid.cell_of(points).masked_fill(~shown, -1)


def _by_pixel(maps: Tensor) -> Tensor:
    """``(N, C, h, w)`` -> ``(N h w, C)``."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def depth_loss(logits: Tensor, measured: Tensor) -> Tensor:
    """Cross-entropy of predicted depth with measured depth.

    Args:
        logits: ``(N, D, h, w)``.
        measured: ``(N, D, h, w)`` shares, all zero where nothing was measured.

    Returns:
        The mean over the cells where something was measured; 0 where there are none.
    """
    cross = -(measured * logits.float().log_softmax(dim=1)).sum()
    return cross / measured.any(dim=1).sum().clamp(min=1)

"""VoteNet's head (Qi et al., ICCV 2019) as mmdet3d builds it, on any device.

Shapes: B frames, S seeds, P proposals, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
from mmdet3d.models.dense_heads import VoteHead
from mmdet3d.registry import MODELS
from mmdet3d.structures import DepthInstance3DBoxes
from torch import Tensor

from gemini_det3d.ops import farthest_points, points_in_boxes
from gemini_det3d.registration import register


class AskableDepthBoxes(DepthInstance3DBoxes):
    """``DepthInstance3DBoxes`` that say on any device which points they hold."""

    def points_in_boxes_all(self, points: Tensor, boxes_override: Tensor | None = None) -> Tensor:
        """Which points lie in which boxes.

        Args:
            points: ``(M, 3 or more)`` or ``(1, M, 3 or more)``.
            boxes_override: ``(T, 7)`` to ask instead of these boxes.

        Returns:
            ``(M, T)`` int32, 1 inside and 0 outside.
        """
        boxes = self.tensor if boxes_override is None else boxes_override
        return points_in_boxes(points.reshape(-1, points.shape[-1]), boxes.to(points.device))


@register(MODELS)
class GeminiVoteHead(VoteHead):
    """``VoteHead`` with the same arguments and parameter names, on CPU and CUDA.

    ``vote_aggregation_cfg`` names ``GeminiPointSAModule`` for that.
    """

    def forward(self, feat_dict: dict[str, Any]) -> dict[str, Tensor]:
        """Votes, proposals and what is predicted for them.

        Args:
            feat_dict: Of the backbone, or with ``seed_points`` ``(B, S, 3)``, ``seed_features``
                ``(B, C, S)`` and ``seed_indices`` ``(B, S)``.

        Returns:
            What ``VoteHead.forward`` returns.
        """
        seeds, features, seed_indices = self._extract_input(feat_dict)
        votes, vote_features, offsets = self.vote_module(seeds, features)
        centers, pooled, chosen = self._aggregate(seeds, features, votes, vote_features)
        return dict(
            seed_points=seeds,
            seed_indices=seed_indices,
            vote_points=votes,
            vote_features=vote_features,
            vote_offset=offsets,
            aggregated_points=centers,
            aggregated_features=pooled,
            aggregated_indices=chosen,
            **self.bbox_coder.split_pred(*self.conv_pred(pooled), centers),
        )

    def loss_by_feat(self, points: list[Tensor], bbox_preds_dict: dict, *args, **kwargs) -> dict:
        """Losses by name, in float32 under autocast, too; see ``VoteHead``."""
        with torch.autocast(points[0].device.type, enabled=False):
            return super().loss_by_feat(points, _in_float32(bbox_preds_dict), *args, **kwargs)

    def predict_by_feat(self, points: list[Tensor], bbox_preds_dict: dict, *args, **kwargs) -> list:
        """Boxes of each frame, found in float32; see ``VoteHead``."""
        with torch.autocast(points[0].device.type, enabled=False):
            return super().predict_by_feat(points, _in_float32(bbox_preds_dict), *args, **kwargs)

    def _aggregate(
        self, seeds: Tensor, features: Tensor, votes: Tensor, vote_features: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Pool votes around P centres, which ``sample_mode`` places."""
        mode = self.sample_mode
        if mode == "spec":
            return self.vote_aggregation(seeds, features, target_xyz=votes)
        indices = None  # 'vote': farthest points among the votes
        if mode == "seed":
            indices = farthest_points(seeds, self.num_proposal)
        elif mode == "random":
            shape = (seeds.shape[0], self.num_proposal)
            indices = torch.randint(seeds.shape[1], shape, device=seeds.device, dtype=torch.int32)
        return self.vote_aggregation(votes, vote_features, indices=indices)

    def _get_targets_single(
        self, points: Tensor, gt_bboxes_3d: DepthInstance3DBoxes, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, ...]:
        """Targets of one frame; only the boxes' answer about points differs."""
        boxes = AskableDepthBoxes(
            gt_bboxes_3d.tensor, gt_bboxes_3d.box_dim, with_yaw=gt_bboxes_3d.with_yaw
        )
        return super()._get_targets_single(points, boxes, *args, **kwargs)

    def multiclass_nms_single(
        self,
        obj_scores: Tensor,
        sem_scores: Tensor,
        bbox: Tensor,
        points: Tensor,
        input_meta: dict[str, Any],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Proposals of one frame that hold points and survive suppression.

        Args:
            obj_scores: ``(P,)``.
            sem_scores: ``(P, classes)``.
            bbox: ``(P, 7)``, z at the centre.
            points: ``(N, 3)``.
            input_meta: Metadata of the frame.

        Returns:
            Boxes, scores and labels.
        """
        meta = {**input_meta, "box_type_3d": AskableDepthBoxes}
        return super().multiclass_nms_single(obj_scores, sem_scores, bbox, points, meta)


def _in_float32(predictions: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
        for name, value in predictions.items()
    }

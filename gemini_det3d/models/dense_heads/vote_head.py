"""VoteNet's head (Qi et al., ICCV 2019) as mmdet3d builds it, on any device.

Shapes: B frames, S seeds, P proposals, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet3d.models.dense_heads import VoteHead
from mmdet3d.registry import MODELS
from torch import Tensor

from gemini_det3d.models.dense_heads.vote_targets import (
    extents,
    kept_boxes,
    nearest_box,
    padded,
    vote_targets,
)
from gemini_det3d.ops import farthest_points, points_in_boxes
from gemini_det3d.registration import register

# A box that holds no more is taken for empty.
_MOST_POINTS_OF_NOTHING = 5


@register(MODELS)
class GeminiVoteHead(VoteHead):
    """``VoteHead`` with the same arguments and parameter names, on CPU and CUDA.

    ``vote_aggregation_cfg`` names ``GeminiPointSAModule`` for that. Targets of all frames are found
    at once, and boxes are suppressed without a loop over them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sizes = torch.tensor(self.bbox_coder.mean_sizes, dtype=torch.float32)
        self.register_buffer("mean_sizes", sizes.view(-1, 3), persistent=False)

    def forward(self, feat_dict: dict[str, Any]) -> dict[str, Tensor]:
        """Votes, proposals and what is predicted for them.

        Args:
            feat_dict: Of the backbone, or with ``seed_points`` ``(B, S, 3)``, ``seed_features``
                ``(B, C, S)`` and ``seed_indices`` ``(B, S)``.
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

    def get_targets(
        self,
        points: Sequence[Tensor],
        bbox_preds: dict[str, Tensor],
        batch_gt_instances_3d: Sequence[Any],
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, ...]:
        """Targets of all frames together; see ``VoteHead``, whose they are."""
        if not self.bbox_coder.with_rot:  # boxes without a yaw are found by masks of the points
            return super().get_targets(points, bbox_preds, batch_gt_instances_3d, *args, **kwargs)
        xyz = torch.stack([cloud[:, :3] for cloud in points])
        boxes, label, real, there = padded(
            [each.bboxes_3d for each in batch_gt_instances_3d],
            [each.labels_3d for each in batch_gt_instances_3d],
            xyz.device,
        )
        centre = torch.cat([boxes[..., :2], boxes[..., 2:3] + 0.5 * boxes[..., 5:6]], dim=-1)
        inside = torch.stack([points_in_boxes(*each) for each in zip(xyz, boxes)]) > 0
        inside &= there[:, None]
        proposals = bbox_preds["aggregated_points"]
        squared, box = nearest_box(proposals, centre, there)
        distance = (squared + 1e-6).sqrt()
        is_near = distance < self.train_cfg["pos_distance_thr"]
        is_told = is_near | (distance > self.train_cfg["neg_distance_thr"])
        direction, turned = self.bbox_coder.angle2class(boxes[..., 6])
        size = self.mean_sizes[label]
        chosen = [
            _rows_of(each, box)
            for each in (label, (boxes[..., 3:6] - size) / size, direction,
                         turned / (np.pi / self.num_dir_bins), centre, label)
        ]  # fmt: skip
        sizes, size_residuals, directions, turns, assigned, classes = chosen
        return (
            vote_targets(xyz, centre, inside, self.gt_per_seed),
            inside.any(-1).long(),
            sizes,
            size_residuals,
            directions,
            turns,
            torch.where(there[..., None], centre, 0),
            assigned,
            classes.long(),
            real,
            is_near.long(),
            *(_shares(each) for each in (is_told, is_near, real)),
        )

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
        """
        boxes = torch.cat([bbox[:, :2], bbox[:, 2:3] - 0.5 * bbox[:, 5:6], bbox[:, 3:]], dim=1)
        holds = points_in_boxes(points, boxes).sum(0) > _MOST_POINTS_OF_NOTHING
        classes = sem_scores.argmax(-1)
        kept = kept_boxes(extents(bbox), obj_scores, classes, holds, self.test_cfg.nms_thr)
        rows = (kept & (obj_scores > self.test_cfg.score_thr)).nonzero()[:, 0]
        boxes, scores = boxes[rows], obj_scores[rows]
        if not self.test_cfg.per_class_proposal:
            return boxes, scores, classes[rows]
        count, number = sem_scores.shape[1], torch.arange(sem_scores.shape[1], device=rows.device)
        scores = (scores[:, None] * sem_scores[rows]).T.flatten()
        return boxes.repeat(count, 1), scores, number[:, None].expand(-1, len(rows)).flatten()


def _rows_of(values: Tensor, index: Tensor) -> Tensor:
    """``(B, G, ...)`` at ``(B, P)`` -> ``(B, P, ...)``."""
    frame = torch.arange(len(values), device=values.device)[:, None]
    return values[frame, index]


def _shares(counted: Tensor) -> Tensor:
    """Ones as shares of their sum."""
    ones = counted.float()
    return ones / (ones.sum() + 1e-6)


def _in_float32(predictions: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
        for name, value in predictions.items()
    }

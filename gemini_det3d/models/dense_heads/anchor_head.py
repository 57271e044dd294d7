"""mmdet3d's ``Anchor3DHead`` whose targets and losses hardly make a GPU wait.

Shapes: B frames, G boxes of the frame that has most, K classes, A anchors of a class (positions x
rotations), S anchors that answer for a box.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet3d.models.dense_heads import Anchor3DHead
from mmdet3d.models.dense_heads.train_mixins import get_direction_target
from mmdet3d.models.task_modules.assigners import Max3DIoUAssigner
from mmdet3d.registry import MODELS
from mmdet3d.structures.ops.iou3d_calculator import BboxOverlapsNearest3D
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gemini_det3d.models.dense_heads.anchor_targets import Limits, assign, nearest_bev, overlaps
from gemini_det3d.registration import register


def anchor_fault(head: Anchor3DHead) -> str | None:
    """What is wrong where each class has an assigner, and not as many sizes of anchors; else None.

    A class would be learnt on the anchors of another one, or not at all.
    """
    assigners, sizes = getattr(head, "bbox_assigner", None), len(head.prior_generator.sizes)
    classes = head.num_classes if head.use_sigmoid_cls else head.num_classes - 1
    if not isinstance(assigners, list) or len(assigners) == sizes == classes:
        return None
    return (
        f"{classes} classes (num_classes), {sizes} sizes of anchors (anchor_generator.sizes) and "
        f"{len(assigners)} assigners (train_cfg.assigner); each class needs one of both"
    )


@register(MODELS)
class GeminiAnchor3DHead(Anchor3DHead):
    """``Anchor3DHead`` with the same arguments, parameters, predictions and losses.

    Anchors are made once for each size of map. With one level, a ``Max3DIoUAssigner`` for each
    class and no sampling, as KITTI's recipes have it, targets of all frames are found together and
    the host waits once a step, for the number of positive anchors; with anything else the
    original's way is taken.

    Raises:
        ValueError: There is an assigner for each class, and not as many sizes of anchors.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fault = anchor_fault(self)
        if fault is not None:
            raise ValueError(f"pts_bbox_head: {fault}")
        self._anchors: dict[tuple, list[Tensor]] = {}
        self.prior_generator.grid_anchors = self._kept_anchors  # predictions ask it, too

    def get_anchors(
        self, featmap_sizes: Sequence[tuple], input_metas: Sequence[dict], device: Any = "cuda"
    ) -> list[list[Tensor]]:
        """Anchors of each level for each frame; those of one size of map are made once."""
        return [self._kept_anchors(featmap_sizes, device) for _ in input_metas]

    def _kept_anchors(self, featmap_sizes: Sequence[tuple], device: Any = "cuda") -> list[Tensor]:
        key = (*map(tuple, featmap_sizes), str(device))
        anchors = self._anchors.get(key)
        if anchors is None:
            make = type(self.prior_generator).grid_anchors
            anchors = make(self.prior_generator, featmap_sizes, device=device)
            self._anchors = {key: anchors}
        return list(anchors)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        dir_cls_preds: list[Tensor],
        batch_gt_instances_3d: list,
        batch_input_metas: list[dict],
        batch_gt_instances_ignore: Any = None,
    ) -> dict:
        """Losses by name, each a list of one number; see ``Anchor3DHead``."""
        if len(cls_scores) != 1 or not self._is_plain():
            return super().loss_by_feat(
                cls_scores,
                bbox_preds,
                dir_cls_preds,
                batch_gt_instances_3d,
                batch_input_metas,
                batch_gt_instances_ignore,
            )
        score = cls_scores[0]
        sizes = [score.shape[-2:]]
        (anchors,) = self.get_anchors(sizes, batch_input_metas[:1], device=score.device)[0]
        boxes, labels = self._padded(batch_gt_instances_3d, anchors)
        assigned = self._assigned(anchors, boxes, labels)
        with torch.autocast(score.device.type, enabled=False):
            rows = [
                None if x is None else x.float().permute(0, 2, 3, 1)
                for x in (score, bbox_preds[0], (dir_cls_preds or [None])[0])
            ]
            return self._losses(*rows, anchors, boxes, labels, assigned)

    def predict_by_feat(self, *maps: Any, **kwargs: Any) -> list:
        """Boxes of each frame, found in float32; see ``Anchor3DHead``."""
        single = [
            [x.float() for x in levels] if _are_tensors(levels) else levels for levels in maps
        ]
        return super().predict_by_feat(*single, **kwargs)

    def _is_plain(self) -> bool:
        """Whether the assigners follow the one rule that :func:`assign` has."""
        assigners = getattr(self, "bbox_assigner", None)
        return (
            not self.sampling
            and self.use_sigmoid_cls
            and isinstance(assigners, list)
            and all(
                type(a) is Max3DIoUAssigner
                and type(a.iou_calculator) is BboxOverlapsNearest3D
                and a.iou_calculator.coordinate == "lidar"
                and isinstance(a.neg_iou_thr, float)
                and (a.gt_max_assign_all and a.match_low_quality)
                and a.ignore_iof_thr <= 0
                for a in assigners
            )
        )

    def _padded(self, instances: Sequence[Any], anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes ``(B, G, 7 or more)`` and labels ``(B, G)`` of all frames, -1 where there is none.

        G is at least 1.
        """
        tensors = [getattr(i.bboxes_3d, "tensor", i.bboxes_3d).to(anchors) for i in instances]
        # one more row for all, so that no batch is empty
        boxes = pad_sequence([*tensors, anchors.new_ones(1, anchors.shape[-1])], True, 1.0)
        nothing = torch.full((1,), -1, device=anchors.device)
        labels = [i.labels_3d.to(anchors.device) for i in instances]
        return boxes[:-1], pad_sequence([*labels, nothing], True, -1)[:-1]

    def _assigned(self, anchors: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """Box of each anchor, from 1; 0 background; -1 neither: ``(B, *positions, K, rotations)``.

        Anchors are ``(*positions, K, rotations, 7 or more)``.
        """
        ends = nearest_bev(boxes)[:, :, None]  # (B, G, 1, 4)
        of_class = nearest_bev(anchors).unbind(-3)
        found = []
        for number, (places, assigner) in enumerate(zip(of_class, self.bbox_assigner)):
            valid = labels == number if self.assign_per_class else labels >= 0
            limits = Limits(assigner.pos_iou_thr, assigner.neg_iou_thr, assigner.min_pos_iou)
            iou = overlaps(ends, places.flatten(0, -2))
            found.append(assign(iou, valid, limits).view(-1, *places.shape[:-1]))
        return torch.stack(found, dim=-2)

    def _losses(
        self,
        score: Tensor,
        delta: Tensor,
        direction: Tensor | None,
        anchors: Tensor,
        boxes: Tensor,
        labels: Tensor,
        assigned: Tensor,
    ) -> dict:
        """Losses of maps ``(B, H, W, ...)`` for what anchors were assigned to."""
        answers = assigned > 0
        # as the original counts: at least one in every frame
        count = answers.flatten(1).sum(dim=1).clamp(min=1).sum()
        place = answers.view(len(boxes), -1).nonzero()  # the one wait
        frame, anchor = place.unbind(1)
        row = frame * answers[0].numel() + anchor
        box = assigned.view(-1)[row] - 1
        label = torch.full_like(assigned, self.num_classes).view(-1)
        label[row] = labels[frame, box]
        weight = (assigned >= 0).view(-1).to(score.dtype)
        if self.train_cfg.pos_weight > 0:
            weight[row] = self.train_cfg.pos_weight
        loss_cls = self.loss_cls(
            score.reshape(-1, self.num_classes), label, weight, avg_factor=count
        )
        delta = delta.reshape(-1, self.box_code_size)[row]
        direction = None if direction is None else direction.reshape(-1, 2)[row]
        if not len(row):  # sums of nothing, still in the graph
            loss_dir = None if direction is None else direction.sum()
            return dict(loss_cls=[loss_cls], loss_bbox=[delta.sum()], loss_dir=[loss_dir])
        prior = anchors.view(-1, anchors.shape[-1])[anchor]
        target = self.bbox_coder.encode(prior, boxes[frame, box])
        loss_dir = None
        if direction is not None:
            facing = get_direction_target(
                prior, target, self.dir_offset, self.dir_limit_offset, one_hot=False
            )
            loss_dir = self.loss_dir(direction, facing, avg_factor=count)
        loss_bbox = self._box_loss(delta, target, count)
        return dict(loss_cls=[loss_cls], loss_bbox=[loss_bbox], loss_dir=[loss_dir])

    def _box_loss(self, delta: Tensor, target: Tensor, count: Tensor) -> Tensor:
        weight = None
        if self.train_cfg.get("code_weight", None):
            weight = self.train_cfg.code_weight
            weight = torch.as_tensor(weight, dtype=delta.dtype).to(delta.device).expand_as(delta)
        if self.diff_rad_by_sin:
            delta, target = self.add_sin_difference(delta, target)
        return self.loss_bbox(delta, target, weight, avg_factor=count)


def _are_tensors(levels: Any) -> bool:
    return isinstance(levels, list) and all(isinstance(x, Tensor) for x in levels)

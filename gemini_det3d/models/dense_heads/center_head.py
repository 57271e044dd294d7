"""mmdet3d's ``CenterHead`` whose targets and losses do not make a GPU wait.

Shapes: B frames, G boxes of the frame that has most, T tasks, C classes of all tasks, M places for
boxes of a task, H x W map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet3d.models.dense_heads import CenterHead
from mmdet3d.models.utils import clip_sigmoid
from mmdet3d.registry import MODELS
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gemini_det3d.models.dense_heads.center_targets import (
    CentreMap,
    draw_gaussians,
    gaussian_radii,
    placed,
    places_in_task,
)
from gemini_det3d.registration import register

# What a box is told by: x, y in the cell, z, three lengths, sine and cosine of yaw, velocity.
_BOX_NUMBERS = 10
_PARTS = ("reg", "height", "dim", "rot", "vel")


@register(MODELS)
class GeminiCenterHead(CenterHead):
    """``CenterHead`` with the same arguments, parameters, predictions and losses."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sizes = [len(names) for names in self.class_names]
        tasks = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        self.register_buffer("task_of_class", tasks, persistent=False)
        weights = (self.train_cfg or {}).get("code_weights") or [1.0] * _BOX_NUMBERS
        self.register_buffer("code_weights", torch.tensor(weights), persistent=False)

    def get_targets(self, batch_gt_instances_3d: Sequence[Any]) -> tuple[list[Tensor], ...]:
        """Targets of each task.

        Args:
            batch_gt_instances_3d: ``bboxes_3d`` with velocity and ``labels_3d`` of the B frames.

        Returns:
            Heat maps ``(B, classes, H, W)``, boxes ``(B, M, 10)``, their cells ``(B, M)`` int64,
            and which of them are real ``(B, M)`` uint8; a list with one entry a task of each.
        """
        cfg, grid = self.train_cfg, CentreMap.from_config(self.train_cfg)
        boxes, label = self._padded(batch_gt_instances_3d)
        task = self.task_of_class[label.clamp(min=0)]
        place = places_in_task(label, task, label >= 0)
        num_tasks, num_places = len(self.class_names), cfg["max_objs"] * cfg["dense_reg"]
        centre, size = grid.cells(boxes[..., :2]), grid.lengths(boxes[..., 3:5])
        cell = centre.to(torch.int32).long()
        valid = (label >= 0) & (place < num_places) & grid.holds(cell) & (size > 0).all(-1)
        radius = gaussian_radii(*size.unbind(-1), cfg["gaussian_overlap"])
        radius = radius.nan_to_num().long().clamp(min=cfg["min_radius"])
        num_classes = len(self.task_of_class)
        channel = label.masked_fill(~valid, num_classes)
        heat = draw_gaussians(cell, radius, channel, num_classes, grid.size)
        row = (task * num_places + place).masked_fill(~valid, num_tasks * num_places)
        told = self._told(boxes, centre - cell)
        index = cell[..., 1] * grid.size[1] + cell[..., 0]
        return (
            list(heat.split([len(names) for names in self.class_names], dim=1)),
            placed(row, told, num_tasks, num_places),
            placed(row, index, num_tasks, num_places),
            placed(row, valid.to(torch.uint8), num_tasks, num_places),
        )

    def loss_by_feat(
        self, preds_dicts: Sequence[list[dict]], batch_gt_instances_3d: list, *args, **kwargs
    ) -> dict[str, Tensor]:
        """Losses of heat map and boxes of each task by name, in float32.

        In 16 bits 1 - 0.9999 is 0, and its logarithm would be the loss.
        """
        losses = {}
        preds_dicts = in_float32(preds_dicts)
        targets = zip(preds_dicts, *self.get_targets(batch_gt_instances_3d))
        for number, ((prediction, *_), heat, boxes, index, real) in enumerate(targets):
            count = heat.eq(1).float().sum().clamp(min=1)
            losses[f"task{number}.loss_heatmap"] = self.loss_cls(
                clip_sigmoid(prediction["heatmap"]), heat, avg_factor=count
            )
            maps = torch.cat([prediction[part] for part in _PARTS], dim=1)
            rows = self._gather_feat(maps.flatten(2).transpose(1, 2), index)
            known = (real[..., None] > 0) & ~boxes.isnan()
            losses[f"task{number}.loss_bbox"] = self.loss_bbox(
                rows, boxes, known * self.code_weights, avg_factor=real.float().sum() + 1e-4
            )
        return losses

    def predict_by_feat(self, preds_dicts: Sequence[list[dict]], *args, **kwargs) -> list:
        """Boxes of each frame; see ``CenterHead``."""
        return super().predict_by_feat(in_float32(preds_dicts), *args, **kwargs)

    def _padded(self, instances: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Boxes ``(B, G, 9)`` with z of the middle, and labels ``(B, G)``, -1 where there is none.

        G is at least 1.
        """
        device = self.task_of_class.device
        told = [
            torch.cat([i.bboxes_3d.gravity_center, i.bboxes_3d.tensor[:, 3:]], dim=1).to(device)
            for i in instances
        ]
        # one more row for all, so that no batch is empty
        boxes = pad_sequence([*told, torch.ones(1, told[0].shape[1], device=device)], True, 1.0)
        nothing = torch.full((1,), -1, device=device)
        labels = [i.labels_3d.to(device) for i in instances]
        return boxes[:-1], pad_sequence([*labels, nothing], True, -1)[:-1]

    def _told(self, boxes: Tensor, offset: Tensor) -> Tensor:
        """What the head learns of each box: ``(B, G, 10)`` float32."""
        lengths = boxes[..., 3:6].log() if self.norm_bbox else boxes[..., 3:6]
        yaw = boxes[..., 6:7]
        parts = [offset, boxes[..., 2:3], lengths, yaw.sin(), yaw.cos(), boxes[..., 7:9]]
        return torch.cat(parts, dim=-1).float()


def in_float32(tasks: Sequence[list[dict]]) -> list[list[dict]]:
    """What the head says of each task and level, in single precision."""
    return [[{part: x.float() for part, x in level.items()} for level in task] for task in tasks]

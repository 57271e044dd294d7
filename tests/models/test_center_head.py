"""Targets and losses of all boxes at once equal mmdet3d's, which go box by box."""

from __future__ import annotations

import copy

import pytest
import torch
from mmdet3d.models.dense_heads import CenterHead
from mmdet3d.registry import MODELS
from mmdet3d.structures import LiDARInstance3DBoxes
from mmengine.config import Config
from mmengine.structures import InstanceData

from benchmarks.census import count_launches
from gemini_det3d.apis.config import find_config
from gemini_det3d.models import GeminiCenterHead

FRAMES = {
    "two frames": (37, 11),
    "one frame without boxes": (0, 23),
    "no box at all": (0, 0),
}


def heads(**train_cfg) -> tuple[GeminiCenterHead, CenterHead]:
    """Ours and the original, with equal parameters."""
    model = Config.fromfile(find_config("bev_gemini-map_r18_1xb1-overfit_nus-3d")).model
    train_cfg = {**model.train_cfg.pts, **train_cfg}
    config = {**model.pts_bbox_head, "train_cfg": train_cfg, "test_cfg": None}
    torch.manual_seed(0)
    ours = MODELS.build(copy.deepcopy(config))
    theirs = MODELS.build({**copy.deepcopy(config), "type": "CenterHead"})
    theirs.load_state_dict(ours.state_dict())
    assert type(ours) is GeminiCenterHead and type(theirs) is CenterHead
    return ours, theirs


def truth(counts) -> list[InstanceData]:
    """Boxes of all classes and of none, beside the map, without size, with unknown velocity."""
    generator = torch.Generator().manual_seed(3)
    instances = []
    for count in counts:
        boxes = torch.rand(count, 9, generator=generator)
        boxes[:, :2] = boxes[:, :2] * 110 - 55  # the map ends at 51.2 m
        boxes[:, 3:6] *= torch.tensor([14.0, 4, 3])
        boxes[3::7, 3] = 0
        boxes[5::7, 7:] = torch.nan
        labels = torch.randint(-1, 10, (count,), generator=generator)
        boxes = LiDARInstance3DBoxes(boxes, box_dim=9)
        instances.append(InstanceData(bboxes_3d=boxes, labels_3d=labels))
    return instances


@pytest.mark.parametrize("max_objs", [500, 2], ids=["room for all", "more boxes than places"])
@pytest.mark.parametrize("counts", FRAMES.values(), ids=FRAMES.keys())
def test_targets_equal_mmdet3d(counts, max_objs):
    ours, theirs = heads(max_objs=max_objs)
    found, expected = ours.get_targets(truth(counts)), theirs.get_targets(truth(counts))
    for name, tasks, their_tasks in zip(("heat", "boxes", "index", "real"), found, expected):
        assert len(tasks) == len(their_tasks) == 6
        for task, their_task in zip(tasks, their_tasks):
            assert task.dtype == their_task.dtype, name
            torch.testing.assert_close(task, their_task, equal_nan=True, rtol=1e-6, atol=1e-6)
    assert sum(counts) == 0 or sum(real.sum() for real in found[3]) > 5


@pytest.mark.parametrize("counts", FRAMES.values(), ids=FRAMES.keys())
def test_losses_and_gradients_equal_mmdet3d(counts):
    results = []
    for head in heads():
        torch.manual_seed(1)
        features = [torch.randn(len(counts), head.in_channels, 128, 128)]
        losses = head.loss_by_feat(head(features), truth(counts))
        head.zero_grad()
        sum(losses.values()).backward()
        results.append((losses, [parameter.grad for parameter in head.parameters()]))
    (losses, gradients), (expected, their_gradients) = results
    assert losses.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(losses[name], expected[name], equal_nan=True)
    for gradient, theirs in zip(gradients, their_gradients):
        torch.testing.assert_close(gradient, theirs, equal_nan=True)


def test_targets_ask_the_device_nothing():
    head, _ = heads()
    with count_launches() as census:
        head.get_targets(truth((37, 11)))
    assert not census.waits


def test_losses_of_sure_predictions_in_half_precision_are_finite():
    """There a sigmoid of 0.9999 is 1, 1 - 1 + 1e-12 is 0, and the original's loss is infinite."""
    results = []
    for head in heads():
        parts = [dict(reg=2, height=1, dim=3, rot=2, vel=2, heatmap=n) for n in head.num_classes]
        maps = [
            [{part: torch.full((1, n, 128, 128), 9.0).half() for part, n in task.items()}]
            for task in parts
        ]
        results.append(head.loss_by_feat(maps, truth((11,))))
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in results[0].values())
    assert not results[1]["task0.loss_heatmap"].isfinite()

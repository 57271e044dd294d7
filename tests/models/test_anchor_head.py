"""Targets and losses of all frames at once equal mmdet3d's, which go box by box."""

from __future__ import annotations

import copy

import pytest
import torch
from mmdet3d.models.dense_heads import Anchor3DHead
from mmdet3d.registry import MODELS
from mmdet3d.structures import LiDARInstance3DBoxes
from mmengine.config import Config
from mmengine.structures import InstanceData

from benchmarks.census import count_launches
from gemini_det3d.apis.config import find_config
from gemini_det3d.models import GeminiAnchor3DHead

# Anchors of the config stand 0.2 m apart on 40 x 40 m; these maps have 23 x 19 cells of them.
MAP = (23, 19)
FRAMES = {
    "two frames": (7, 4),
    "one frame without boxes": (0, 5),
    "no box at all": (0, 0),
    "one frame": (11,),
}


def heads(**changes) -> tuple[GeminiAnchor3DHead, Anchor3DHead]:
    """Ours and the original, with equal parameters."""
    name = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
    model = Config.fromfile(find_config(name)).model
    config = {**model.pts_bbox_head, "train_cfg": model.train_cfg.pts, "test_cfg": None, **changes}
    torch.manual_seed(0)
    ours = MODELS.build(copy.deepcopy(config))
    theirs = MODELS.build({**copy.deepcopy(config), "type": "Anchor3DHead"})
    theirs.load_state_dict(ours.state_dict())
    assert type(ours) is GeminiAnchor3DHead and type(theirs) is Anchor3DHead
    return ours, theirs


def truth(counts, first_label) -> list[InstanceData]:
    generator = torch.Generator().manual_seed(3)
    instances = []
    for count in counts:
        boxes = torch.rand(count, 7, generator=generator)
        boxes = boxes * torch.tensor([38, 38, 1, 4, 2, 1, 6.3]) + torch.tensor(
            [1, -19, -2, 0.5, 0.5, 1, 0]
        )
        labels = torch.randint(first_label, 3, (count,), generator=generator)
        instances.append(InstanceData(bboxes_3d=LiDARInstance3DBoxes(boxes), labels_3d=labels))
    return instances


def losses_and_gradients(head, counts, first_label=0) -> tuple[dict, list]:
    torch.manual_seed(1)
    features = torch.randn(len(counts), head.feat_channels, *MAP)
    losses = head.loss_by_feat(*head([features]), truth(counts, first_label), [{}] * len(counts))
    head.zero_grad()
    sum(loss[0] for loss in losses.values()).backward()
    return losses, [parameter.grad.clone() for parameter in head.parameters()]


@pytest.mark.parametrize("per_class", [True, False], ids=["own class", "any class"])
@pytest.mark.parametrize("counts", FRAMES.values(), ids=FRAMES.keys())
def test_losses_and_gradients_equal_mmdet3d(counts, per_class):
    ours, theirs = heads(assign_per_class=per_class)
    # -1 is a class left out, which nothing of its own class answers for
    losses, gradients = losses_and_gradients(ours, counts, -1 if per_class else 0)
    expected, their_gradients = losses_and_gradients(theirs, counts, -1 if per_class else 0)
    assert losses.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(losses[name][0], expected[name][0])
    for ours_, theirs_ in zip(gradients, their_gradients):
        torch.testing.assert_close(ours_, theirs_)
    assert sum(counts) == 0 or losses["loss_bbox"][0] > 0


def test_code_weights_count():
    ours, theirs = heads()
    for head in (ours, theirs):
        head.train_cfg.code_weight = [1.0, 2.0, 0.5, 1.0, 1.0, 1.0, 0.0]
    loss, expected = (losses_and_gradients(h, (7, 4))[0]["loss_bbox"][0] for h in (ours, theirs))
    torch.testing.assert_close(loss, expected)


def test_targets_and_losses_ask_the_device_once():
    ours, theirs = heads()
    counted = []
    for head in (ours, theirs):
        losses_and_gradients(head, (7, 4))  # makes the anchors
        with count_launches() as census:
            losses_and_gradients(head, (7, 4))
        counted.append({kind for kind, _ in census.waits})
    # on a CPU alone, torch's one_hot looks at the largest label
    assert counted[0] <= {"nonzero", "item()"} and len(counted[1]) > 2


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_sizes_of_anchors_than_classes_are_refused(count):
    config = Config.fromfile(find_config("mvxnet_gemini-point_r18_1xb2-toy_scenes-3class")).model
    anchors = config.pts_bbox_head.anchor_generator
    anchors.update(ranges=anchors.ranges[:count], sizes=anchors.sizes[:count])
    head = {**config.pts_bbox_head, "train_cfg": config.train_cfg.pts, "test_cfg": None}
    with pytest.raises(ValueError, match=f"3 classes .*, {count} sizes of anchors .*3 assigners"):
        MODELS.build(head)


def test_saved_head_makes_its_anchors_again(tmp_path):
    ours, _ = heads()
    expected = ours.prior_generator.grid_anchors([MAP], device="cpu")
    torch.save(ours, tmp_path / "head.pth")
    again = torch.load(tmp_path / "head.pth", weights_only=False)
    again._anchors.clear()
    assert torch.equal(again.prior_generator.grid_anchors([MAP], device="cpu")[0], expected[0])

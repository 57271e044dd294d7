"""Targets and predictions of the vote head beside those of mmdet3d's own, box by box."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmdet3d.models.dense_heads import VoteHead
from mmdet3d.models.layers.box3d_nms import aligned_3d_nms
from mmdet3d.structures import DepthInstance3DBoxes
from mmengine.structures import InstanceData
from test_votenet import TOY, build

from gemini_det3d.models.dense_heads.vote_targets import extents, kept_boxes
from gemini_det3d.ops import points_in_boxes

NUM_POINTS, NUM_PROPOSALS = 503, 61


class AskableBoxes(DepthInstance3DBoxes):
    """Boxes that say on a CPU, too, which points they hold."""

    def points_in_boxes_all(self, points, boxes_override=None):
        return points_in_boxes(points.reshape(-1, points.shape[-1]), self.tensor)


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return build(TOY).bbox_head


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def room(seed: int, num_boxes: int, size: float = 1.0):
    """Points of a room of 3 m, and large boxes about its middle: many points lie in several."""
    points = drawn(NUM_POINTS, 4, seed=seed) * 3
    boxes = drawn(num_boxes, 7, seed=seed + 1)
    boxes[:, :3], boxes[:, 3:6] = 1 + boxes[:, :3], size * (0.5 + boxes[:, 3:6])
    boxes[:, 6] = 7 * boxes[:, 6] - 3
    truth = InstanceData(bboxes_3d=AskableBoxes(boxes), labels_3d=torch.arange(num_boxes) % 6)
    return points, truth


@pytest.mark.parametrize(
    "counts", [(5, 2), (1, 0), (0, 0), (9,)], ids=["some", "one none", "none", "many"]
)
def test_targets_are_those_found_box_by_box(head, counts):
    points, truths = zip(*(room(10 * i, count) for i, count in enumerate(counts)))
    near = torch.stack([points[i][:NUM_PROPOSALS, :3] for i in range(len(counts))])
    predictions = {"aggregated_points": near}
    nothing = [None] * len(counts)
    found = head.get_targets(points, predictions, list(truths), nothing, nothing)
    wanted = VoteHead.get_targets(head, points, predictions, list(truths), nothing, nothing)
    assert len(found) == len(wanted) == 14
    for mine, theirs in zip(found, wanted):
        assert mine.dtype == theirs.dtype
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
    if max(counts) > 3:  # the claim is about points in more boxes than there are places
        inside = truths[0].bboxes_3d.points_in_boxes_all(points[0])
        assert (inside.sum(1) > 3).any() and (inside.sum(1) == 2).any()


def test_suppression_keeps_what_the_loop_keeps():
    boxes = torch.cat([drawn(97, 3) * 3, 0.3 + drawn(97, 3, seed=1), drawn(97, 1, seed=2)], 1)
    ends, scores = extents(boxes), drawn(97, seed=3)
    classes, held = (drawn(97, seed=4) * 3).long(), drawn(97, seed=5) > 0.2
    kept = kept_boxes(ends, scores, classes, held, 0.25)
    rows = held.nonzero()[:, 0]
    wanted = rows[aligned_3d_nms(ends[held], scores[held], classes[held], 0.25)]
    assert kept.nonzero()[:, 0].tolist() == sorted(wanted.tolist())
    assert 0 < len(wanted) < len(rows)


@pytest.mark.parametrize("per_class", [True, False])
def test_proposals_of_a_frame_are_mmdet3ds(head, monkeypatch, per_class):
    test_cfg = SimpleNamespace(nms_thr=0.25, score_thr=0.3, per_class_proposal=per_class)
    monkeypatch.setattr(head, "test_cfg", test_cfg)
    points, truth = room(3, NUM_PROPOSALS, size=0.7)
    boxes = torch.cat([truth.bboxes_3d.gravity_center, truth.bboxes_3d.tensor[:, 3:]], 1)
    given = (drawn(NUM_PROPOSALS, seed=6), drawn(NUM_PROPOSALS, 6, seed=7), boxes, points[:, :3])
    found = head.multiclass_nms_single(*given, {})
    wanted = VoteHead.multiclass_nms_single(head, *given, {"box_type_3d": AskableBoxes})
    assert 0 < len(found[0]) < NUM_PROPOSALS * (6 if per_class else 1)
    for mine, theirs in zip(found, wanted):
        assert mine.dtype == theirs.dtype
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)

"""Boxes in 3D, points in them and pooling over them, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from compiled_cases import rand, rectangles

from gemini_det3d.ops import _rotated_torch, iou_3d
from gemini_det3d.ops.mmcv_ext import _ext
from gemini_det3d.ops.rotated_iou import bev_iou


def boxes(seed: int, *shape: int) -> torch.Tensor:
    """Upright boxes of a few metres around the origin."""
    parts = [(3, -3, 3), (3, 0.5, 4), (1, -4, 4)]
    return torch.cat(
        [rand(seed + i, *shape, n, low=a, high=b) for i, (n, a, b) in enumerate(parts)], -1
    )


def local(point, box):
    """A point seen from the bottom centre of a box, along its sides."""
    x, y, z = (point[:3] - box[:3]).tolist()
    cos, sin = math.cos(box[6]), math.sin(box[6])
    return cos * x + sin * y, cos * y - sin * x, z


def holds(box, point) -> bool:
    x, y, z = local(point, box)
    return 0 <= z <= box[5] and abs(x) < box[3] / 2 and abs(y) < box[4] / 2


def held(points, around) -> torch.Tensor:
    return torch.tensor([[holds(box, point) for box in around] for point in points])


def test_points_in_all_boxes_are_those_of_the_loop(form):
    points, around = rand(1, 2, 97, 3, low=-4, high=4), boxes(2, 2, 11)
    found = torch.zeros(2, 97, 11, dtype=torch.int32)
    _ext.points_in_boxes_all_forward(around, points, found)
    expected = torch.stack([held(*frame) for frame in zip(points, around)])
    assert torch.equal(found > 0, expected) and 20 < expected.sum()


def test_points_in_the_first_box_are_those_of_the_loop(form):
    points, around = rand(1, 2, 97, 3, low=-4, high=4), boxes(2, 2, 11)
    found = torch.full((2, 97), -1, dtype=torch.int32)
    _ext.points_in_boxes_part_forward(around, points, found)
    inside = torch.stack([held(*frame) for frame in zip(points, around)])
    first = torch.where(inside.any(-1), inside.int().argmax(-1), -1)
    assert torch.equal(found.long(), first)


@pytest.mark.parametrize(("num_points", "num_boxes"), [(0, 3), (5, 0)])
def test_points_in_boxes_of_none_change_nothing(form, num_points, num_boxes):
    points, around = torch.zeros(1, num_points, 3), torch.zeros(1, num_boxes, 7)
    part = torch.full((1, num_points), -1, dtype=torch.int32)
    every = torch.zeros(1, num_points, num_boxes, dtype=torch.int32)
    _ext.points_in_boxes_part_forward(around, points, part)
    _ext.points_in_boxes_all_forward(around, points, every)
    assert (part == -1).all() and (every == 0).all()


def test_overlap_and_iou_of_3d_boxes_are_the_exact_ones(ops, form):
    a, b = boxes(4, 31), boxes(7, 37)
    exact = iou_3d(a, b, origin="center")
    torch.testing.assert_close(ops.boxes_iou3d(a, b).double(), exact, atol=1e-6, rtol=1e-5)
    assert 50 < (exact > 0.01).sum()
    assert ops.boxes_overlap_bev(a[:0], b).shape == (0, 37)


def greedy(ious: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in range(len(ious)):
        if not any(ious[k, i] > threshold for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("turned", [True, False])
def test_suppression_of_3d_boxes_is_the_greedy_loop(ops, form, turned):
    around, scores = boxes(10, 211), rand(13, 211)
    kept = (ops.nms3d if turned else ops.nms3d_normal)(around, scores, 0.15)
    order = scores.argsort(descending=True)
    ranked = around[order][:, [0, 1, 3, 4, 6]].double()
    if not turned:
        ranked[:, 4] = 0
    assert kept.tolist() == order[greedy(bev_iou(ranked, ranked).numpy(), 0.15)].tolist()
    assert 20 < len(kept) < 150


@pytest.mark.parametrize("name", ["nms3d", "nms3d_normal"])
def test_suppression_of_no_3d_boxes_keeps_none(ops, form, name):
    assert getattr(ops, name)(torch.zeros(0, 7), torch.zeros(0), 0.1).shape == (0,)


def test_suppression_of_a_long_chain_keeps_every_other_box(ops, form):
    chain = torch.zeros(101, 7)
    chain[:, 0], chain[:, 3:6] = torch.arange(101) * 0.5, 1.0  # each overlaps its neighbours only
    kept = ops.nms3d(chain, torch.arange(101, 0, -1).float(), 0.3)
    assert kept.tolist() == list(range(0, 101, 2))


def test_rotated_iou_that_is_differentiated_is_the_exact_one(ops):
    parts = [(2, -2, 2), (2, 0.5, 4), (1, -4, 4)]
    a, b = (
        torch.cat([rand(s + i, 1, 53, n, low=x, high=y) for i, (n, x, y) in enumerate(parts)], -1)
        for s in (20, 30)
    )
    a[0, 5:9], b[0, 9, :2] = b[0, 5:9], 99.0  # equal boxes, boxes that do not meet
    a.requires_grad_()
    found = ops.diff_iou_rotated_2d(a, b)
    exact = bev_iou(a[0].detach(), b[0], aligned=True)
    torch.testing.assert_close(found[0].double(), exact, atol=2e-5, rtol=1e-4)
    assert found[0, 5:9].tolist() == pytest.approx([1] * 4, abs=1e-5) and found[0, 9] == 0
    found.sum().backward()
    assert a.grad.isfinite().all() and (a.grad[0, 20:] != 0).any()


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_pooling_of_cells_of_boxes_is_the_loop_with_gradients(ops, form, mode):
    grid, most = (3, 2, 2), 5
    around, points = boxes(40, 7), rand(43, 611, 3, low=-4, high=4)
    features = rand(44, 611, 3, low=-1).requires_grad_()
    pool = ops.RoIAwarePool3d(grid, max_pts_per_voxel=most, mode=mode)
    found = pool(around, points, features)
    again = features.detach().clone().requires_grad_()
    cells: dict = {}
    for r, box in enumerate(around):
        for n, point in enumerate(points):
            if holds(box, point):
                size = np.array(box[3:6].tolist())
                place = (np.array(local(point, box)) + size * [0.5, 0.5, 0]) / (size / grid)
                cell = (r, *np.clip(place.astype(int), 0, np.array(grid) - 1))
                cells.setdefault(cell, [])
                if len(cells[cell]) < most - 1:
                    cells[cell].append(n)
    expected = torch.zeros(7, *grid, 3)
    for cell, members in cells.items():
        values = again[members]
        expected[cell] = values.amax(0) if mode == "max" else values.mean(0)
    torch.testing.assert_close(found, expected)
    assert max(map(len, cells.values())) == most - 1 and len(cells) > 20
    (found**2).sum().backward()
    (expected**2).sum().backward()
    torch.testing.assert_close(features.grad, again.grad)


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_pooling_of_cells_in_half_precision_has_gradients(ops, mode):
    around, points = boxes(40, 7), rand(43, 611, 3, low=-4, high=4)
    features = rand(44, 611, 3, low=-1).bfloat16().requires_grad_()
    found = ops.RoIAwarePool3d((3, 2, 2), max_pts_per_voxel=5, mode=mode)(around, points, features)
    found.float().sum().backward()
    assert found.dtype == features.grad.dtype == torch.bfloat16
    assert features.grad.isfinite().all() and features.grad.any()


def test_points_pooled_from_boxes_are_the_first_and_repeat_in_turn(ops, form):
    around, points = boxes(50, 2, 5), rand(53, 2, 97, 3, low=-4, high=4)
    features = rand(54, 2, 97, 4)
    around[1, 3, :3] = 99.0
    pooled, empty = ops.RoIPointPool3d(13)(points, features, around)
    for b, r in np.ndindex(2, 5):
        members = [n for n in range(97) if holds(around[b, r], points[b, n])][:13]
        assert empty[b, r] == (not members)
        if members:
            rows = [members[k % len(members)] for k in range(13)]
            assert pooled[b, r].equal(torch.cat([points[b, rows], features[b, rows]], 1))
    assert empty.sum() >= 1 and (pooled[1, 3] == 0).all()


@pytest.mark.parametrize("aligned", [False, True])
def test_pairs_that_are_not_near_are_left_out_without_a_change(monkeypatch, aligned):
    first, second = boxes(60, 13)[:, [0, 1, 3, 4, 6]], boxes(70, 13)[:, [0, 1, 3, 4, 6]]
    first[3, 2], first[5], second[7, 0], second[2, :2] = 0, math.nan, math.inf, 99.0
    all_pairs = _rotated_torch.overlap_areas(first, second, aligned)
    monkeypatch.setattr(_rotated_torch, "_PAIRS_WITHOUT_ASKING", 0)
    assert torch.equal(_rotated_torch.overlap_areas(first, second, aligned), all_pairs)
    assert 0 < (all_pairs > 0).sum() < all_pairs.numel()


def leaf(values: torch.Tensor) -> torch.Tensor:
    return values.clone().requires_grad_()


OUTSIDE_OF_AUTOGRAD = {
    "box_iou_rotated": lambda ops: ops.box_iou_rotated(
        leaf(boxes(1, 5)[:, [0, 1, 3, 4, 6]]), boxes(2, 7)[:, [0, 1, 3, 4, 6]]
    ),
    "bbox_overlaps": lambda ops: ops.bbox_overlaps(leaf(rectangles(1, 5)), rectangles(2, 7)),
    "boxes_overlap_bev": lambda ops: ops.boxes_overlap_bev(leaf(boxes(1, 5)), boxes(2, 7)),
    "points_in_boxes_cpu": lambda ops: ops.points_in_boxes_cpu(
        leaf(rand(1, 1, 9, 3)), leaf(boxes(2, 1, 7))
    ),
}


@pytest.mark.parametrize("name", OUTSIDE_OF_AUTOGRAD)
def test_autograd_sees_nothing_of_an_op_as_with_the_kernels_of_mmcv(ops, form, name):
    """Half a gradient, of the boxes' areas and not of what they share, would point anywhere."""
    assert not OUTSIDE_OF_AUTOGRAD[name](ops).requires_grad

"""Point-set ops against plain loops: ties, too few points, empty balls, gradients."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from mmdet3d.structures import DepthInstance3DBoxes

from gemini_det3d.ops import (
    ball_query,
    farthest_points,
    gather_points,
    group_points,
    points_in_boxes,
    three_interpolate,
    three_nn,
)
from gemini_det3d.ops.points import nearest_three


def greedy_loop(points, num):
    """Farthest point sampling as it is defined, with torch's first-of-equals argmax."""
    chosen = []
    for frame in points:
        nearest, last = torch.full((len(frame),), torch.inf), 0
        indices = [0]
        for _ in range(num - 1):
            nearest = torch.minimum(nearest, ((frame - frame[last]) ** 2).sum(-1))
            last = int(np.argmax(nearest.numpy()))
            indices.append(last)
        chosen.append(indices)
    return torch.tensor(chosen, dtype=torch.int32)


def ball_loop(points, centers, radius, num, min_radius=0.0):
    out = torch.zeros(*centers.shape[:2], num, dtype=torch.int32)
    low, high = np.float32(min_radius) ** 2, np.float32(radius) ** 2
    for b in range(len(centers)):
        for m, center in enumerate(centers[b].numpy()):
            squared = ((center - points[b].numpy()) ** 2).sum(-1)
            members = np.flatnonzero((squared == 0) | ((squared >= low) & (squared < high)))[:num]
            if len(members):
                filled = np.concatenate([members, np.full(num - len(members), members[0])])
                out[b, m] = torch.from_numpy(filled)
    return out


def cloud(*shape, seed=0, grid=None):
    points = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 3
    return points if grid is None else (points / grid).round() * grid


@pytest.mark.parametrize("grid", [None, 0.5], ids=["scattered", "lattice with many ties"])
def test_farthest_points_are_those_of_the_greedy_loop(grid):
    points = cloud(2, 911, 3, grid=grid)
    assert torch.equal(farthest_points(points, 101), greedy_loop(points, 101))


def test_farthest_points_are_exact_with_an_outlier_that_flattens_the_curve():
    points = cloud(1, 353, 3)
    points[0, 17] = torch.tensor([1e6, -1e6, 1e6])
    assert torch.equal(farthest_points(points, 37), greedy_loop(points, 37))


def test_farthest_points_repeat_the_first_when_more_are_asked_than_exist():
    points = cloud(1, 5, 3)
    assert farthest_points(points, 11)[0].tolist()[5:] == [0] * 6
    assert torch.equal(farthest_points(points, 11), greedy_loop(points, 11))


def test_farthest_points_of_equal_points_are_all_the_first():
    assert farthest_points(torch.ones(1, 71, 3), 7).tolist() == [[0] * 7]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(1, 0, 3), "cannot sample 3 of 0"),
        (torch.full((1, 5, 3), torch.nan), "not finite"),
        (torch.zeros(5, 3), "must be"),
    ],
)
def test_farthest_points_refuse_what_has_no_answer(points, message):
    with pytest.raises(ValueError, match=message):
        farthest_points(points, 3)


def test_farthest_points_are_twenty_times_faster_than_the_torch_loop():
    points = cloud(1, 20_000, 3)
    farthest_points(points, 7)  # compiles
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fast = min(_seconds(lambda: farthest_points(points, 2048)) for _ in range(5))
        slow = min(_seconds(lambda: greedy_loop(points, 2048)) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert slow / fast >= 20, f"{slow * 1e3:.0f} ms against {fast * 1e3:.1f} ms"


def _seconds(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@pytest.mark.parametrize("min_radius", [0.0, 0.25])
def test_ball_query_is_the_plain_loop_with_ties_and_empty_balls(min_radius):
    points, centers = cloud(2, 307, 3, grid=0.25), cloud(2, 43, 3, seed=1, grid=0.25)
    centers[:, 5] = 99.0  # an empty ball
    points[:, 7] = centers[:, 11]  # a member at the centre counts whatever min_radius is
    expected = ball_loop(points, centers, 0.5, 13, min_radius)
    found = ball_query(points, centers, 0.5, 13, min_radius)
    assert torch.equal(found, expected)
    assert found[:, 5].abs().sum() == 0
    assert found.unique().numel() > 100


def test_ball_query_repeats_the_first_member_of_a_ball_with_few():
    points = torch.tensor([[[5.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]]])
    assert ball_query(points, torch.zeros(1, 1, 3), 1.0, 5).tolist() == [[[1, 2, 1, 1, 1]]]


def test_ball_query_leaves_out_points_at_exactly_the_radius():
    points = torch.tensor([[[1.0, 0, 0], [0.5, 0, 0]]])
    assert ball_query(points, torch.zeros(1, 1, 3), 1.0, 2).tolist() == [[[1, 1]]]


def test_ball_query_refuses_radii_that_do_not_rise():
    with pytest.raises(ValueError, match="min_radius < radius"):
        ball_query(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), 0.1, 3, min_radius=0.2)


@pytest.mark.parametrize("num", [0, -3])
def test_ball_query_refuses_to_look_for_no_member(num):
    with pytest.raises(ValueError, match="num must be 1 or more"):
        ball_query(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), 0.1, num)


@pytest.mark.parametrize("frames", [(1, 2), (3, 2)])
@pytest.mark.parametrize(
    ("op", "names"),
    [
        (lambda a, b: ball_query(a, b, 0.5, 2), "points and centers"),
        (three_nn, "targets and sources"),
        (nearest_three, "targets and sources"),
        (lambda a, b: gather_points(a, b[..., 0].int()), "features and indices"),
        (lambda a, b: group_points(a, b.int()), "features and indices"),
        (lambda a, b: three_interpolate(a, b.int(), b), "features and indices"),
    ],
    ids=["ball_query", "three_nn", "nearest_three", "gather", "group", "interpolate"],
)
def test_point_sets_of_unequally_many_frames_are_refused(op, names, frames):
    first, second = (torch.zeros(number, 5, 3) for number in frames)
    with pytest.raises(ValueError, match=f"{names} must have equally many frames"):
        op(first, second)


def test_indices_and_weights_of_another_shape_are_refused():
    features, index = torch.zeros(2, 5, 7), torch.zeros(2, 11, 3, dtype=torch.int32)
    with pytest.raises(ValueError, match=r"indices \(B, M\), got \(2, 5, 7\) and \(2, 11, 3\)"):
        gather_points(features, index)
    with pytest.raises(ValueError, match="one shape"):
        three_interpolate(features, index, torch.ones(2, 1, 3))


@pytest.mark.parametrize(
    ("points", "boxes", "name"), [((3, 2), (1, 7), "points"), ((3, 3), (1, 6), "boxes")]
)
def test_points_in_boxes_refuse_columns_that_are_not_there(points, boxes, name):
    with pytest.raises(ValueError, match=f"{name} must have . columns or more"):
        points_in_boxes(torch.zeros(points), torch.zeros(boxes))


def test_group_points_reads_the_members_and_sends_gradients_back():
    features = torch.randn(2, 3, 7, dtype=torch.float64, requires_grad=True)
    index = torch.randint(7, (2, 5, 11), dtype=torch.int32)
    grouped = group_points(features, index)
    for b, c, m, k in ((0, 0, 0, 0), (1, 2, 4, 10), (1, 0, 3, 7)):
        assert grouped[b, c, m, k] == features[b, c, index[b, m, k]]
    assert torch.autograd.gradcheck(lambda f: group_points(f, index), features)
    assert torch.autograd.gradcheck(lambda f: gather_points(f, index[..., 0]), features)


def test_three_nn_is_the_sorted_distance_matrix_with_ties():
    targets, sources = cloud(2, 53, 3, grid=0.5), cloud(2, 31, 3, seed=1, grid=0.5)
    squared = ((targets[:, :, None] - sources[:, None]) ** 2).sum(-1)
    nearest = squared.sort(dim=-1, stable=True)
    distance, index = three_nn(targets, sources)
    assert torch.equal(index.long(), nearest.indices[..., :3])
    torch.testing.assert_close(distance, nearest.values[..., :3].sqrt())


def test_three_nn_gives_missing_sources_an_infinite_distance():
    distance, index = three_nn(torch.zeros(1, 1, 3), torch.ones(1, 2, 3))
    assert distance[0, 0, :2].tolist() == pytest.approx([3**0.5] * 2)
    assert distance[0, 0, 2] == torch.inf
    assert index.tolist() == [[[0, 1, 0]]]


def test_three_interpolate_is_the_weighted_sum_with_gradients():
    features = torch.randn(2, 3, 7, dtype=torch.float64, requires_grad=True)
    index = torch.randint(7, (2, 5, 3), dtype=torch.int32)
    weights = torch.rand(2, 5, 3, dtype=torch.float64, requires_grad=True)
    found = three_interpolate(features, index, weights)
    expected = sum(weights[1, 4, k] * features[1, :, int(index[1, 4, k])] for k in range(3))
    torch.testing.assert_close(found[1, :, 4], expected)
    assert torch.autograd.gradcheck(lambda f, w: three_interpolate(f, index, w),
                                    (features, weights))  # fmt: skip


def test_points_in_boxes_are_those_within_half_the_size_of_the_turned_box():
    points = cloud(1, 1009, 3)[0] * 2 - 3
    centers, sizes, yaw = cloud(1, 11, 3, seed=2)[0] - 1.5, cloud(1, 11, 3, seed=3)[0] + 0.5, 0.7
    boxes = torch.cat([centers, sizes, torch.linspace(-4, yaw, 11)[:, None]], dim=1)
    expected = torch.zeros(1009, 11, dtype=torch.int32)
    for t, box in enumerate(boxes.double()):
        cos, sin = box[6].cos(), box[6].sin()
        local = points.double() - box[:3] - torch.tensor([0, 0, box[5] / 2])
        local = local @ torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]).double()
        expected[:, t] = (local.abs() < box[3:6] / 2).all(dim=1)
    found = points_in_boxes(points, boxes)
    assert torch.equal(found, expected)
    assert 100 < found.sum() < found.numel() // 2


def test_points_in_boxes_of_no_size_and_of_no_boxes_are_none():
    points = torch.zeros(3, 4)
    assert points_in_boxes(points, torch.zeros(2, 7)).sum() == 0
    assert points_in_boxes(points, torch.zeros(0, 7)).shape == (3, 0)


def test_points_in_boxes_agree_with_the_corners_of_mmdet3d():
    boxes = DepthInstance3DBoxes(torch.tensor([[1.0, 2.0, 0.5, 0.7, 1.1, 1.3, 0.4]]))
    middle = boxes.gravity_center
    just_inside = middle + 0.99 * (boxes.corners[0] - middle)
    just_outside = middle + 1.01 * (boxes.corners[0] - middle)
    assert points_in_boxes(just_inside, boxes.tensor).sum() == 8
    assert points_in_boxes(just_outside, boxes.tensor).sum() == 0


def test_ops_are_those_of_mmcv_on_cuda(cuda):
    points, centers = cloud(2, 307, 3), cloud(2, 43, 3, seed=1)
    features = torch.randn(2, 5, 307)
    there = [tensor.to(cuda) for tensor in (points, centers, features)]
    assert torch.equal(farthest_points(there[0], 29).cpu(), farthest_points(points, 29))
    index = ball_query(points, centers, 0.5, 7)
    assert torch.equal(ball_query(*there[:2], 0.5, 7).cpu(), index)
    grouped = group_points(there[2], index.to(cuda))
    torch.testing.assert_close(grouped.cpu(), group_points(features, index))
    assert torch.equal(three_nn(*there[1::-1])[1].cpu(), three_nn(centers, points)[1])

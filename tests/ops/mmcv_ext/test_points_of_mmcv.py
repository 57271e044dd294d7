"""Sampling, neighbourhoods and grouping against plain loops; ties, empty balls, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from compiled_cases import rand

from gemini_det3d.ops.mmcv_ext import _ext


def cloud(seed: int, *shape: int, lattice: bool = False) -> torch.Tensor:
    points = rand(seed, *shape, high=3)
    return (points * 2).round() / 2 if lattice else points


def squares(points, center):
    """Squared distances, rounded at every step as the kernels round."""
    d = center - points
    return (d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1]) + d[:, 2] * d[:, 2]


def greedy(distances, num):
    nearest, chosen = np.full(len(distances), np.inf), [0]
    for _ in range(num - 1):
        nearest = np.minimum(nearest, distances[chosen[-1]])
        chosen.append(int(np.argmax(nearest)))
    return chosen


@pytest.mark.parametrize("lattice", [False, True], ids=["scattered", "with ties"])
def test_farthest_points_are_those_of_the_greedy_loop(form, lattice):
    points = cloud(1, 2, 311, 3, lattice=lattice)
    out = torch.zeros(2, 41, dtype=torch.int32)
    _ext.furthest_point_sampling_forward(points, torch.zeros(2, 311), out, b=2, n=311, m=41)
    tables = [[squares(frame, p) for p in frame] for frame in points.numpy()]
    assert out.tolist() == [greedy(table, 41) for table in tables]


def test_farthest_points_by_distances_are_those_of_the_greedy_loop(ops):
    distances = rand(2, 2, 97, 97)
    found = ops.furthest_point_sample_with_dist(distances, 19)
    assert found.tolist() == [greedy(table, 19) for table in distances.numpy()]


@pytest.mark.parametrize("radii", [(0.0, 0.5), (0.25, 0.75)])
@pytest.mark.parametrize("lattice", [False, True], ids=["scattered", "with ties"])
def test_ball_query_is_the_plain_loop(ops, form, radii, lattice):
    points, centers = cloud(3, 2, 307, 3, lattice=lattice), cloud(4, 2, 31, 3, lattice=lattice)
    centers[:, 5] = 99.0
    found = ops.ball_query(*radii, 11, points, centers)
    low, high = np.float32(radii[0]) ** 2, np.float32(radii[1]) ** 2
    for frame, around, rows in zip(points.numpy(), centers.numpy(), found.tolist()):
        for center, row in zip(around, rows):
            squared = squares(frame, center)
            members = np.flatnonzero((squared == 0) | ((squared >= low) & (squared < high)))[:11]
            first = members[0] if len(members) else 0
            assert row == [*members, *[first] * (11 - len(members))]
    assert found.unique().numel() > 50


def test_ball_query_of_fewer_points_than_asked_repeats_the_first(ops, form):
    found = ops.ball_query(0, 9.0, 5, torch.zeros(1, 2, 3), torch.zeros(1, 1, 3))
    assert found.tolist() == [[[0, 1, 0, 0, 0]]]


def test_ball_query_of_frames_of_different_sizes_marks_an_empty_ball(ops, form):
    points, centers = cloud(5, 23, 3), cloud(6, 11, 3)
    centers[2] = 99.0
    sizes = [
        torch.tensor([7, 0, 16], dtype=torch.int32),
        torch.tensor([4, 2, 5], dtype=torch.int32),
    ]
    found = ops.ball_query(0, 1.0, 6, points, centers, *sizes).tolist()
    frames = np.split(points.numpy(), [7, 7])
    for m, row in enumerate(found):
        frame = frames[0 if m < 4 else 1 if m < 6 else 2]
        members = np.flatnonzero(squares(frame, centers[m].numpy()) < 1.0)[:6]
        expected = [*members, *[members[0]] * (6 - len(members))] if len(members) else [-1]
        assert row[: len(expected)] == expected
    assert found[2][0] == -1 and found[4][0] == -1 and found[5][0] == -1


@pytest.mark.parametrize("k", [1, 3, 8])
def test_nearest_neighbours_are_the_sorted_distances_with_the_lower_index_first(k):
    points, centers = cloud(7, 2, 53, 3, lattice=True), cloud(8, 2, 19, 3, lattice=True)
    index, squared = torch.zeros(2, 19, k, dtype=torch.int32), torch.zeros(2, 19, k)
    _ext.knn_forward(points, centers, index, squared, b=2, n=53, m=19, nsample=k)
    for frame, around, rows, values in zip(points.numpy(), centers.numpy(), index, squared):
        for center, row, value in zip(around, rows.tolist(), values.tolist()):
            distances = squares(frame, center)
            assert row == np.argsort(distances, kind="stable")[:k].tolist()
            assert value == distances[row].tolist()


def test_three_nearest_are_the_sorted_distances_with_the_lower_index_first(ops, form):
    targets, sources = cloud(9, 2, 41, 3, lattice=True), cloud(10, 2, 37, 3, lattice=True)
    distance, index = ops.three_nn(targets, sources)
    for frame, others, rows, values in zip(targets.numpy(), sources.numpy(), index, distance):
        for target, row, value in zip(frame, rows.tolist(), values.numpy()):
            squared = squares(others, target)
            assert row == np.argsort(squared, kind="stable")[:3].tolist()
            np.testing.assert_array_equal(value, np.sqrt(squared[row]))


def test_three_nearest_of_two_sources_are_infinitely_far_from_the_third(ops, form):
    distance, index = ops.three_nn(torch.zeros(1, 1, 3), torch.ones(1, 2, 3))
    assert index.tolist() == [[[0, 1, 0]]] and distance[0, 0, 2] == torch.inf


def double(seed: int, *shape: int) -> torch.Tensor:
    return rand(seed, *shape, low=-1).double().requires_grad_()


def test_gathered_features_are_those_at_the_indices_with_gradients(ops):
    features, index = double(11, 2, 3, 7), (rand(12, 2, 5) * 6.99).int()
    out = ops.gather_points(features, index)
    assert all(out[b, :, m].equal(features[b, :, index[b, m]]) for b in (0, 1) for m in range(5))
    assert torch.autograd.gradcheck(lambda f: ops.gather_points(f, index), features)


def test_grouped_features_are_those_at_the_indices_with_gradients(ops):
    features, index = double(13, 2, 3, 7), (rand(14, 2, 5, 4) * 6.99).int()
    out = ops.grouping_operation(features, index)
    for b, m, k in np.ndindex(2, 5, 4):
        assert out[b, :, m, k].equal(features[b, :, index[b, m, k]])
    assert torch.autograd.gradcheck(lambda f: ops.grouping_operation(f, index), features)


def test_grouped_features_of_frames_of_different_sizes_start_at_their_frame(ops):
    features, index = double(15, 11, 3), (rand(16, 5, 4) * 3.99).int()
    sizes = torch.tensor([4, 7], dtype=torch.int32), torch.tensor([2, 3], dtype=torch.int32)
    index[4, 1] = 7  # one past the last feature of all reads 0

    def group(f):
        return ops.grouping_operation(f, index, *sizes)

    out = group(features)
    for m, k in np.ndindex(5, 4):
        row = int(index[m, k]) + (0 if m < 2 else 4)
        assert out[m, :, k].equal(features[row] if row < 11 else torch.zeros(3).double())
    assert torch.autograd.gradcheck(group, features)


def test_interpolated_features_are_the_weighted_sum_with_gradients(ops):
    features, index = double(17, 2, 3, 7), (rand(18, 2, 5, 3) * 6.99).int()
    weights = rand(19, 2, 5, 3).double()
    out = ops.three_interpolate(features, index, weights)
    for b, n in np.ndindex(2, 5):
        expected = sum(weights[b, n, k] * features[b, :, index[b, n, k]] for k in range(3))
        torch.testing.assert_close(out[b, :, n], expected)
    assert torch.autograd.gradcheck(lambda f: ops.three_interpolate(f, index, weights), features)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_features_of_half_precision_have_gradients_beside_weights_of_float32(ops, dtype):
    """As under autocast, where features are of half precision and weights are not."""
    features, weights = double(17, 2, 3, 7).detach(), rand(19, 2, 5, 3)
    near, rows = (rand(18, 2, 5, 3) * 6.99).int(), (rand(16, 5, 4) * 3.99).int()
    sizes = torch.tensor([4, 2], dtype=torch.int32), torch.tensor([2, 3], dtype=torch.int32)
    for run in (lambda f: ops.three_interpolate(f, near, weights.to(torch.float32)),
                lambda f: ops.grouping_operation(f, near),
                lambda f: ops.grouping_operation(f.flatten(0, 1)[:, :3].contiguous(), rows, *sizes)
                ):  # fmt: skip
        half, full = (features.to(d).requires_grad_() for d in (dtype, torch.float32))
        for leaf in (half, full):
            run(leaf).float().sum().backward()
        assert half.grad.dtype == dtype
        torch.testing.assert_close(half.grad.float(), full.grad, rtol=0.03, atol=0.03)


def test_scores_assemble_kernels_as_the_loop_does_with_gradients(ops):
    points, centers, scores = double(20, 2, 7, 3, 4), double(21, 2, 7, 3, 4), double(22, 2, 5, 6, 3)
    index = (rand(23, 2, 5, 6) * 6.99).long()
    index[0, 1, 2], index[1, 4, 5] = 7, -1  # outside: adds nothing

    def assemble(*tensors):
        return ops.assign_score_withk(*tensors, index)

    out = assemble(scores, points, centers)
    for b, o, n, k in np.ndindex(2, 4, 5, 6):
        near, first = int(index[b, n, k]), int(index[b, n, 0])
        spread = points[b, near % 7, :, o] - centers[b, first, :, o]
        expected = (spread * scores[b, n, k]).sum() if 0 <= near < 7 else torch.zeros(())
        torch.testing.assert_close(out[b, o, n, k], expected, check_dtype=False)
    assert torch.autograd.gradcheck(assemble, (scores, points, centers))

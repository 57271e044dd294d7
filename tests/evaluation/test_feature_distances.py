"""The Fréchet and kernel distances against closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gemini_det3d.evaluation.functional import frechet_distance, kernel_distance


def features_with(mean, covariance, count, seed=0):
    """`count` features with exactly this mean and unbiased covariance."""
    rng = np.random.default_rng(seed)
    raw = rng.standard_normal((count, len(mean)))
    raw -= raw.mean(axis=0)
    whiten = np.linalg.cholesky(np.linalg.inv(raw.T @ raw / (count - 1)))
    return raw @ whiten @ np.linalg.cholesky(covariance).T + mean


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


def test_frechet_distance_in_one_dimension_is_that_of_means_and_deviations():
    first = features_with([1.0], np.array([[4.0]]), 17)
    second = features_with([4.0], np.array([[0.25]]), 23, seed=1)
    assert frechet_distance(first, second) == pytest.approx(3.0**2 + (2.0 - 0.5) ** 2)


def test_frechet_distance_of_commuting_covariances_compares_their_axes():
    turn, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((5, 5)))
    one, two = np.array([1.0, 4.0, 9.0, 0.25, 2.0]), np.array([4.0, 1.0, 1.0, 0.25, 3.0])
    first = features_with(np.zeros(5), turn * one @ turn.T, 31)
    second = features_with(np.full(5, 2.0), turn * two @ turn.T, 29, seed=2)
    expected = 5 * 2.0**2 + ((np.sqrt(one) - np.sqrt(two)) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected)


def test_frechet_distance_of_any_covariances_equals_the_formula_with_roots():
    rng = np.random.default_rng(5)
    one, two = (m @ m.T + 0.1 * np.eye(7) for m in rng.standard_normal((2, 7, 7)))
    mean = rng.standard_normal(7)
    first, second = features_with(mean, one, 41), features_with(np.zeros(7), two, 37, seed=6)
    shared = np.trace(root(root(one) @ two @ root(one)))
    expected = mean @ mean + np.trace(one) + np.trace(two) - 2 * shared
    assert frechet_distance(first, second) == pytest.approx(expected)


def test_frechet_distance_of_a_set_to_itself_moved_is_the_way_squared():
    features = np.random.default_rng(7).standard_normal((11, 53))  # fewer images than features
    assert frechet_distance(features, features + 0.5) == pytest.approx(53 * 0.25)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_of_two_points_each_is_what_hand_gives():
    # D = 1: k(x, y) = (x y + 1)^3. Within {0, 1} and {1, 2}: k(0, 1) = 1 and k(1, 2) = 27.
    # Between: k(0, 1) = k(0, 2) = 1, k(1, 1) = 8, k(1, 2) = 27, mean 37 / 4.
    value, deviation = kernel_distance(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]]))
    assert value == pytest.approx(1 + 27 - 2 * 37 / 4)
    assert deviation == 0


def test_kernel_distance_is_the_mean_over_pairs_of_the_definition():
    rng = np.random.default_rng(11)
    first, second = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)) + 0.5

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    def within(s):
        return np.mean([kernel(x, y) for x, y in itertools.permutations(s, 2)])

    between = np.mean([kernel(x, y) for x in first for y in second])
    expected = within(first) + within(second) - 2 * between
    assert kernel_distance(first, second)[0] == pytest.approx(expected)


def test_kernel_distance_is_unbiased_between_sets_of_one_distribution():
    rng = np.random.default_rng(13)
    values = [
        kernel_distance(rng.standard_normal((13, 5)), rng.standard_normal((13, 5)))[0]
        for _ in range(400)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0


def test_kernel_distance_subsets_of_everything_are_everything():
    rng = np.random.default_rng(17)
    first, second = rng.standard_normal((2, 19, 3))
    whole, _ = kernel_distance(first, second)
    value, deviation = kernel_distance(first, second, num_subsets=7, subset_size=1000)
    assert value == pytest.approx(whole) and deviation == pytest.approx(0, abs=1e-12)


def test_kernel_distance_smaller_subsets_differ_and_the_seed_fixes_them():
    rng = np.random.default_rng(19)
    first, second = rng.standard_normal((2, 19, 3))
    _, deviation = kernel_distance(first, second, num_subsets=7, subset_size=5)
    assert deviation > 0
    again = kernel_distance(first, second, num_subsets=7, subset_size=5)
    assert again == kernel_distance(first, second, num_subsets=7, subset_size=5)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 5)), r"\(3, 5\)"),
        (np.zeros((1, 2)), np.zeros((3, 2)), "1 and 3"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "NaN"),
    ],
)
def test_distances_refuse_what_they_cannot_compare(distance, first, second, message):
    with pytest.raises(ValueError, match=message):
        distance(first, second)

"""Paired comparisons over seeds, against SciPy's, and when a run counts as learned."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gemini_det3d.apis.comparison.paired import (
    Threshold,
    bootstrap_interval,
    compare_pairs,
    sign_flip_test,
)
from gemini_det3d.apis.config import ConfigError

DIFFERENCES = np.array([2.1, 0.4, -0.3, 1.7, 0.9, 1.1, -0.2])


def test_permutation_test_is_scipys_exact_one():
    expected = stats.permutation_test(
        (DIFFERENCES, np.zeros(7)), lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples", vectorized=True, n_resamples=np.inf,
    )  # fmt: skip
    assert sign_flip_test(DIFFERENCES) == pytest.approx(expected.pvalue)


def test_many_pairs_are_drawn_and_agree_with_the_exact_test():
    twice = np.concatenate([DIFFERENCES / 3, DIFFERENCES / 5, [-0.9, -1.1, 0.2]])
    assert len(twice) == 17
    exact = stats.permutation_test(
        (twice, np.zeros(17)), lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples", vectorized=True, n_resamples=np.inf, batch=2**14,
    )  # fmt: skip
    assert sign_flip_test(twice) == pytest.approx(exact.pvalue, abs=0.01)


def test_interval_is_scipys_percentile_bootstrap():
    expected = stats.bootstrap(
        (DIFFERENCES,), np.mean, method="percentile", n_resamples=20000
    ).confidence_interval
    assert bootstrap_interval(DIFFERENCES) == pytest.approx(tuple(expected), abs=0.03)


def test_pairs_are_the_seeds_that_both_have():
    found = compare_pairs({0: 5.0, 1: 7.0, 3: 99.0}, {1: 6.0, 0: 2.0, 2: 0.0}, "B")
    assert (found.against, found.pairs, found.difference) == ("B", 2, 2.0)
    assert (found.low, found.high, found.p_value) == (1.0, 3.0, 0.5)
    assert compare_pairs({0: 1.0, 1: 2.0}, {1: 1.0}, "B") is None


def test_equal_variants_differ_in_nothing():
    found = compare_pairs({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}, "B")
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [([0.9, 0.5, 0.7, 0.5, 0.4], 4), ([0.9, None, 0.5], 3), ([0.9, 0.7], None), ([0.1, 0.2], 1)],
)
def test_run_learned_where_its_loss_stays_below(losses, epoch):
    threshold = Threshold.parse("94,loss_cls<0.6")
    assert threshold.score == 94 and threshold.epoch({"loss_cls": losses}) == epoch
    note = threshold.note(of_error=False)
    assert "94 or more" in note and "loss_cls stays below 0.6" in note


def test_threshold_without_a_loss_asks_for_none():
    assert Threshold.parse("94").epoch({}) is None


@pytest.mark.parametrize("text", ["x", "94,loss_cls", "94,loss_cls<x"])
def test_threshold_that_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigError, match="--learned"):
        Threshold.parse(text)


def test_loss_that_no_run_has_is_named():
    with pytest.raises(ConfigError, match=r"loss_clss.*loss_cls"):
        Threshold.parse("1,loss_clss<2").epoch({"loss_cls": [1.0]})


def test_a_mean_that_is_zero_but_for_rounding_is_zero():
    assert sign_flip_test(np.array([0.1, 0.2, -0.3])) == 1.0


def test_differences_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not all finite"):
        sign_flip_test(np.array([1.0, np.nan, 2.0]))

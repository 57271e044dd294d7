"""Errors pixel by pixel and the protocol's stretch."""

from __future__ import annotations

import numpy as np
import pytest

from gemini_det3d.evaluation.functional import (
    mean_absolute_error,
    mean_squared_error,
    stretch,
    to_bytes,
)


def test_errors_are_means_over_pixels_and_channels():
    truth = np.zeros((3, 2, 5))
    image = truth.copy()
    image[0, 0, 0], image[2, 1, 3] = 0.6, -0.3
    assert mean_absolute_error(image, truth) == pytest.approx(0.9 / 30)
    assert mean_squared_error(image, truth) == pytest.approx((0.36 + 0.09) / 30)


def test_errors_refuse_images_of_other_sizes():
    with pytest.raises(ValueError, match=r"\(3, 2, 5\)"):
        mean_absolute_error(np.zeros((3, 2, 5)), np.zeros((3, 5, 2)))


def test_stretch_hides_brightness_and_contrast():
    image = np.random.default_rng(0).uniform(-1, 1, (3, 5, 7))
    dull = 0.3 * image - 0.2
    assert not np.allclose(dull, image)
    np.testing.assert_allclose(stretch(dull), stretch(image))
    assert stretch(dull).min() == -1 and stretch(dull).max() == 1


def test_stretch_leaves_one_colour_finite():
    assert (stretch(np.full((3, 2, 2), 0.4)) == -1).all()


def test_bytes_cover_the_range_and_clip():
    np.testing.assert_array_equal(to_bytes(np.array([-2, -1, 0, 1, 2])), [0, 0, 128, 255, 255])

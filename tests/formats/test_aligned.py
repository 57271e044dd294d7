"""Which sizes of two files show one view, by each rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gemini_det3d.formats.aligned import check_same_view
from gemini_det3d.formats.errors import FormatError

RULES = ("error", "crop", "resize")


@pytest.mark.parametrize("rule", RULES)
def test_equal_sizes_pass_whatever_the_channels(rule):
    assert check_same_view("a.png", (427, 561, 3), "b.png", (427, 561), rule) is None


@pytest.mark.parametrize("own", [(427, 560), (406, 561), (400, 590)])
def test_margins_pass_but_for_the_rule_that_wants_equal_sizes(own):
    # the last is off by less than 5 % of each side, and by 12 % in aspect
    for rule in ("crop", "resize"):
        assert check_same_view("a.png", own, "b.png", (420, 561), rule) is None
    with pytest.raises(
        FormatError, match=rf"a\.png: is {own[1]} x {own[0]} pixels, b\.png is 561 "
    ):
        check_same_view("a.png", own, "b.png", (420, 561), "error")


def test_a_pixel_is_a_margin_of_small_images_and_two_are_none():
    assert check_same_view("a.png", (9, 10), "b.png", (10, 10), "crop") is None
    with pytest.raises(FormatError, match="not the same view"):
        check_same_view("a.png", (8, 10), "b.png", (10, 10), "crop")


def test_another_resolution_is_no_margin_and_may_be_resized():
    assert check_same_view("a.png", (240, 320), Path("b.png"), (480, 640), "resize") is None
    with pytest.raises(FormatError) as caught:
        check_same_view("a.png", (240, 320), Path("b.png"), (480, 640), "crop")
    assert str(caught.value) == (
        "a.png: is 320 x 240 pixels, b.png is 640 x 480: another resolution, not a margin "
        "(on_size_mismatch='resize' resizes it)"
    )


@pytest.mark.parametrize("rule", ["crop", "resize"])
@pytest.mark.parametrize("own", [(640, 480), (240, 300), (240, 342)])
def test_another_aspect_is_another_view(rule, own):
    with pytest.raises(FormatError, match="not the same view"):
        check_same_view("a.png", own, "b.png", (480, 640), rule)


@pytest.mark.parametrize("own", [(240, 306), (240, 335)])
def test_aspects_may_differ_by_a_twentieth(own):
    assert check_same_view("a.png", own, "b.png", (480, 640), "resize") is None


def test_arrays_are_called_what_they_are():
    fault = "an image given as an array: is 2 x 3 pixels, an image given as an array is 5 x 9"
    with pytest.raises(FormatError, match=fault):
        check_same_view(np.zeros((3, 2)), (3, 2), np.zeros((9, 5)), (9, 5), "error")

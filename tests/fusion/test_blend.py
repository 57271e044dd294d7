"""Two streams into one."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gemini_det3d.fusion import StreamBlend, blend_many, blend_streams


def test_blend_starts_as_the_mean(make):
    first, second = make(3, 5), make(3, 5)
    assert_close(StreamBlend().double()(first, second), (first + second) / 2)


def test_blend_weighs_by_softmax_of_alpha(make):
    first, second = make(3, 5), make(3, 5)
    alpha = torch.tensor([0.0, 3.0], dtype=torch.float64).log1p()  # softmax: 1/5, 4/5
    assert_close(blend_streams(first, second, alpha), 0.2 * first + 0.8 * second)


def test_relu_option_clips_the_blend(make):
    first, second = make(3, 5), make(3, 5)
    plain = StreamBlend().double()(first, second)
    assert (plain < 0).any()
    assert torch.equal(StreamBlend(with_relu=True).double()(first, second), plain.clamp(min=0))


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_blend_takes_only_what_exists(make, poison):
    first, second = make(4, 5), make(4, 5)
    first_exists = torch.tensor([True, False, True, False])
    second_exists = torch.tensor([True, True, False, False])
    alpha = torch.tensor([1.0, 2.0], dtype=torch.float64)
    wanted = torch.stack(
        (blend_streams(first, second, alpha)[0], second[1], first[2], torch.zeros_like(first[3]))
    )
    first[~first_exists] = poison
    second[~second_exists] = poison
    assert_close(blend_streams(first, second, alpha, first_exists, second_exists), wanted)


def test_blend_gradients_are_finite_where_a_stream_is_missing(make):
    first, second = make(4, 5), make(4, 5, grad=True)
    first[2] = float("nan")
    first.requires_grad_()
    blend = StreamBlend().double()
    exists = torch.tensor([True, True, False, True])
    blend(first, second, first_exists=exists).square().sum().backward()
    assert first.grad.isfinite().all() and first.grad[2].count_nonzero() == 0
    assert second.grad.isfinite().all()
    assert blend.alpha.grad.isfinite().all() and blend.alpha.grad.count_nonzero() == 2


def test_blend_refuses_streams_of_other_shapes(make):
    with pytest.raises(ValueError, match="one shape"):
        StreamBlend()(make(3, 5), make(4, 5))


@pytest.mark.parametrize("number", [1, 2, 4])
def test_blend_many_refuses_masks_of_another_number(make, number):
    streams = [make(4, 5) for _ in range(3)]
    masks = [torch.ones(4, dtype=torch.bool)] * number
    with pytest.raises(ValueError, match=f"exists has {number} masks for 3 streams"):
        blend_many(streams, torch.ones(3), masks)


def test_blend_many_refuses_weights_and_streams_that_do_not_fit(make):
    with pytest.raises(ValueError, match=r"alpha of shape \(2,\) for 3 streams"):
        blend_many([make(4, 5) for _ in range(3)], torch.ones(2))
    with pytest.raises(ValueError, match="for 0 streams"):
        blend_many([], torch.ones(0))
    with pytest.raises(ValueError, match="one shape"):
        blend_many([make(4, 5), make(1, 5)], torch.ones(2))

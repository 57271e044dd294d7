"""Losses over the labelled pixels, all of them or the hard ones."""

from __future__ import annotations

import contextlib

import pretend_gpu
import pytest
import torch

from gemini_det3d.models.losses import OhemCrossEntropy, PixelCrossEntropy, hard_pixel_mean

CLASSES = 5


def test_ohem_takes_hard_pixels_and_at_least_a_share():
    losses, counted = torch.tensor([4.0, 1, 3, 9]), torch.tensor([True, True, True, False])
    assert hard_pixel_mean(losses, counted, 2.0, 0.0) == 3.5
    assert hard_pixel_mean(losses, counted, 5.0, 0.4) == 4.0
    assert hard_pixel_mean(losses, torch.zeros(4).bool(), 2.0, 0.5) == 0


def test_ohem_takes_none_of_fewer_pixels_than_make_one_of_the_share():
    losses = torch.arange(10.0, requires_grad=True)
    none = hard_pixel_mean(losses, torch.ones(10) > 0, 20.0, 1 / 16)
    none.backward()
    assert none == 0 and not losses.grad.any()
    assert hard_pixel_mean(losses, torch.ones(10) > 0, 20.0, 1 / 10) == 9


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("loss", [PixelCrossEntropy(), OhemCrossEntropy()])
def test_pixels_without_a_label_are_not_read_nan_included(loss, labelled):
    logits, labels = torch.randn(2, CLASSES, 5, 7), torch.randint(0, CLASSES, (2, 5, 7))
    labels[:, 3:] = 255
    if not labelled:
        labels[:] = 255
    answers = []
    for value in (0.3, torch.nan, torch.inf):
        given = logits.clone()
        given[:, :, 3:] = value
        number = loss(given.requires_grad_(), labels)
        number.backward()
        answers.append((number, given.grad))
    for number, gradient in answers:
        assert torch.equal(number, answers[0][0]) and torch.equal(gradient, answers[0][1])
        assert gradient.isfinite().all() and gradient.any() == labelled


@pytest.mark.parametrize("loss", [PixelCrossEntropy(), OhemCrossEntropy(threshold=1.0)])
def test_losses_are_the_mean_over_labelled_pixels(loss):
    logits, labels = torch.randn(2, CLASSES, 5, 7), torch.randint(0, CLASSES, (2, 5, 7))
    labels[0] = 255
    wanted = torch.nn.functional.cross_entropy(logits[1:], labels[1:])
    torch.testing.assert_close(loss(logits, labels), wanted)
    assert loss(logits, torch.full_like(labels, 255)) == 0


@pytest.mark.parametrize("loss", [PixelCrossEntropy(), OhemCrossEntropy()])
def test_losses_of_a_gpu_in_deterministic_mode_are_the_same(loss):
    torch.manual_seed(0)
    logits, labels = torch.randn(2, CLASSES, 5, 7), torch.randint(0, CLASSES, (2, 5, 7))
    labels[:, 3:] = 255
    found = []
    for how in (contextlib.nullcontext, pretend_gpu.deterministic_gpu):
        leaf = logits.clone().requires_grad_()
        with how():
            number = loss(leaf, labels)
            number.backward()
        found.append((number, leaf.grad))
    for first, second in zip(*found):
        torch.testing.assert_close(first, second)

"""Batch normalisation of few rows."""

from __future__ import annotations

import torch

from gemini_det3d.models.layers import SmallBatchNorm1d


def test_single_row_is_normalised_by_the_running_statistics_which_it_leaves_alone():
    norm = SmallBatchNorm1d(5).train()
    norm(torch.randn(7, 5) * 3)
    before, row = norm.running_var.clone(), torch.randn(1, 5)
    found = norm(row)
    torch.testing.assert_close(found, norm.eval()(row))
    assert torch.equal(norm.running_var, before)


def test_gradient_of_a_single_row_is_that_of_its_own_forward():
    """A training step may hold several forwards; the second one moves the running statistics."""
    norm = SmallBatchNorm1d(5, momentum=0.5).train()
    row = torch.randn(1, 5, requires_grad=True)
    (alone,) = torch.autograd.grad(norm(row).sum(), row)
    found = norm(row)
    norm(10 * torch.randn(7, 5))
    torch.testing.assert_close(torch.autograd.grad(found.sum(), row)[0], alone)

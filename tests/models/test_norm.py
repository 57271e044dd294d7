"""Batch normalisation of few rows."""

from __future__ import annotations

import pytest
import torch
from toys import toy_batch, toy_model

from gemini_det3d.models.layers import SmallBatchNorm1d, keep_in_graph


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


@pytest.mark.parametrize("is_synced", [True, False])
def test_branch_that_a_process_passes_by_may_not_wait_for_it(monkeypatch, is_synced):
    branch = torch.nn.Sequential(torch.nn.Linear(3, 5), SmallBatchNorm1d(5))
    if is_synced:
        branch = torch.nn.SyncBatchNorm.convert_sync_batchnorm(branch)
    assert keep_in_graph(branch, None) == 0  # one process waits for none
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda *_: 2)
    if not is_synced:
        assert keep_in_graph(branch, None) == 0
        return
    with pytest.raises(RuntimeError, match=r"Sequential, whose 1 \(SyncBatchNorm\) takes statist"):
        keep_in_graph(branch, None)
    assert keep_in_graph(branch.eval()) == 0


def test_bev_detector_without_a_camera_says_so_instead_of_waiting(monkeypatch):
    name = "bev_gemini-map_r18_1xb2-toy_scenes-3class"
    model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(toy_model(name))
    data = model.data_preprocessor(toy_batch(name, lacks="camera"), True)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda *_: 2)
    with pytest.raises(RuntimeError, match="no sample of this process has the sensor of LiftToBEV"):
        model(**data, mode="loss")

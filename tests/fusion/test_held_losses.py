"""Losses of exchange operators: taken once, never copied, never left over, never without effect."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from gemini_det3d.fusion import ChannelExchangeFusion, TokenExchangeFusion

OPERATORS = [TokenExchangeFusion, ChannelExchangeFusion]


@pytest.fixture(params=OPERATORS, ids=lambda kind: kind.__name__)
def operator(request):
    torch.manual_seed(0)
    return request.param(8, loss_weight=1.0)


def streams(requires_grad=False):
    return [torch.randn(7, 8, requires_grad=requires_grad) for _ in range(2)]


def test_an_operator_is_copied_and_pickled_after_a_training_forward(operator):
    operator(*streams())
    for twin in (copy.deepcopy(operator), pickle.loads(pickle.dumps(operator))):
        assert twin.auxiliary_losses() == {}
        assert twin.state_dict().keys() == operator.state_dict().keys()
    averaged = torch.optim.swa_utils.AveragedModel(operator)
    assert averaged.module.auxiliary_losses() == {}
    assert operator.auxiliary_losses()  # the original still has its own


def test_an_evaluation_leaves_no_loss_of_the_training_before(operator):
    operator(*streams())
    operator.eval()(*streams())
    assert operator.auxiliary_losses() == {}


def test_a_loss_under_a_reentrant_checkpoint_is_refused(operator):
    checkpoint(operator, *streams(True), use_reentrant=True)
    with pytest.raises(RuntimeError, match="without gradients and would train nothing"):
        operator.auxiliary_losses()


def test_a_loss_under_a_plain_checkpoint_trains_and_is_not_left_over(operator):
    first, second = streams(True)
    fused = checkpoint(operator, first, second, use_reentrant=False)
    losses = operator.auxiliary_losses()
    (sum(losses.values()) + sum(f.sum() for f in fused)).backward()
    assert any(p.grad is not None and p.grad.any() for p in operator.parameters())
    assert operator.auxiliary_losses() == {}


def test_a_loss_without_gradients_may_be_looked_at(operator):
    with torch.no_grad():
        operator(*streams())
        assert operator.auxiliary_losses()
    for parameter in operator.parameters():
        parameter.requires_grad_(False)
    operator(*streams())
    assert operator.auxiliary_losses()

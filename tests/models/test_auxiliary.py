"""The operators' own losses reach the detector."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gemini_det3d.fusion import ChannelExchangeFusion, SumFusion, TokenExchangeFusion
from gemini_det3d.models import GeminiMVXNet, WithAuxiliaryLosses, auxiliary_losses


class Detector(nn.Module):
    def __init__(self, *operators):
        super().__init__()
        self.inner = nn.ModuleList(operators)

    def loss(self, x):
        for operator in self.inner:
            operator(x, x)
        return {"loss_box": x.sum()}


class GeminiDetector(WithAuxiliaryLosses, Detector):
    pass


@pytest.mark.parametrize(
    "operator, name",
    [(TokenExchangeFusion, "loss_token_scores"), (ChannelExchangeFusion, "loss_channel_scales")],
)
def test_losses_of_operators_join_those_of_the_detector(operator, name):
    one, two = operator(8), operator(8)
    losses = GeminiDetector(one, SumFusion(8), two).loss(torch.randn(5, 8))
    assert losses.keys() == {"loss_box", name}
    assert losses[name] > 0 and losses[name].requires_grad


def test_losses_of_one_name_are_summed():
    one, two = ChannelExchangeFusion(8, loss_weight=1.0), ChannelExchangeFusion(8, loss_weight=2.0)
    losses = GeminiDetector(one, two).loss(torch.randn(5, 8))
    assert losses["loss_channel_scales"] == 8 + 16  # 2 x 4 scales of 1, weighted


def test_losses_are_taken_once():
    model = Detector(ChannelExchangeFusion(8))
    model.loss(torch.randn(5, 8))
    assert auxiliary_losses(model) and auxiliary_losses(model) == {}


def test_the_plugin_detector_hands_them_on():
    assert issubclass(GeminiMVXNet, WithAuxiliaryLosses)

"""The operators' own losses reach the detector."""

from __future__ import annotations

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from torch import nn

from gemini_det3d.apis.config import find_config
from gemini_det3d.fusion import ChannelExchangeFusion, SumFusion, TokenExchangeFusion
from gemini_det3d.models import WithAuxiliaryLosses, auxiliary_losses


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


# The smallest config of each registered detector of this package, and where its operator stands.
DETECTORS = {
    "GeminiMVXNet": (
        "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class",
        "pts_voxel_encoder.fusion_layer.operator",
    ),
    "GeminiBEVDetector": (
        "bev_gemini-map_r18_1xb2-toy_scenes-3class",
        "pts_fusion_layer.operator",
    ),
    "GeminiVoteNet": (
        "votenet_gemini-point_r18_1xb4-toy_rooms-6class",
        "fusion_layer.operator",
    ),
}


def test_every_registered_detector_is_tested_here():
    registered = {
        name
        for name, kind in MODELS.module_dict.items()
        if kind.__module__.startswith("gemini_det3d.models.detectors")
    }
    assert registered == set(DETECTORS)


@pytest.mark.parametrize("name", DETECTORS)
def test_losses_of_operators_join_those_of_every_registered_detector(name, monkeypatch):
    config, place = DETECTORS[name]
    config = Config.fromfile(find_config(config))
    config.merge_from_dict({f"model.{place}.type": "ChannelExchangeFusion"})
    model = MODELS.build(config.model).train()
    host = next(
        kind
        for kind in type(model).__mro__
        if "loss" in vars(kind) and not kind.__module__.startswith("gemini_det3d")
    )
    monkeypatch.setattr(host, "loss", lambda self, *args, **kwargs: {"loss_box": 1})
    for module in model.modules():
        if isinstance(module, ChannelExchangeFusion):
            module(*torch.randn(2, 5, module.dim))
    losses = model.loss({}, [])
    assert losses.keys() == {"loss_box", "loss_channel_scales"}
    assert losses["loss_channel_scales"].requires_grad

"""A model that has predicted in inference mode can be trained afterwards."""

from __future__ import annotations

import copy

import pytest
import torch
from toys import DETECTORS, toy_batch, toy_model


@pytest.mark.parametrize("name", DETECTORS)
def test_detector_trains_after_an_inference(name):
    model, data = toy_model(name), toy_batch(name)
    with torch.inference_mode():
        model.eval()(**model.data_preprocessor(copy.deepcopy(data)), mode="predict")
    losses = model.train()(**model.data_preprocessor(data, True), mode="loss")
    model.parse_losses(losses)[0].backward()
    assert any(p.grad is not None for p in model.parameters())

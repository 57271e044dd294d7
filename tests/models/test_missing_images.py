"""A batch without images still reaches every parameter, so that no other process waits for it."""

from __future__ import annotations

import pytest
import torch
from toys import DETECTORS, toy_batch, toy_model

FUSED = [name for name in DETECTORS if "gemini" in name]


@pytest.mark.parametrize("name", FUSED)
def test_batch_without_images_reaches_every_parameter(name):
    model, batch = toy_model(name), toy_batch(name)
    del batch["inputs"]["img"]
    for sample in batch["data_samples"]:
        sample.set_metainfo(dict(sensor_mask=dict(camera=[False], lidar=True)))
    data = model.data_preprocessor(batch, True)
    loss, _ = model.parse_losses(model(**data, mode="loss"))
    loss.backward()
    images = [p for key, p in model.named_parameters() if key.startswith("img_")]
    assert images
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in images)
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)

"""Small generators and discriminators, and batches for them."""

from __future__ import annotations

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement

import gemini_det3d.plugin  # noqa: F401

SIZE = dict(dims=(8, 12), depths=(2, 1), num_heads=(2, 2), sr_ratios=(2, 1), mlp_ratio=2)
OPERATOR = dict(type="GeminiFusion", num_heads=2)


@pytest.fixture
def make():
    """Build a translator or a part of it."""
    init_default_scope("mmdet3d")

    def build(kind="GeminiTranslator", **options):
        torch.manual_seed(0)
        if kind == "MiTGenerator":
            return MODELS.build({"type": kind, "operator": OPERATOR, **SIZE, **options})
        if kind == "MiTPatchDiscriminator":
            return MODELS.build({"type": kind, **SIZE, **options})
        parts = dict(
            generator=dict(type="MiTGenerator", operator=OPERATOR, **SIZE),
            discriminator=dict(type="MiTPatchDiscriminator", **SIZE),
        )
        for name in parts:
            parts[name].update(options.pop(name, {}))
        return MODELS.build({"type": kind, **parts, **options})

    return build


@pytest.fixture
def make_batch():
    """Views as a data loader hands them on."""

    def batch(count=3, num_sources=2, size=(20, 12), with_target=True):
        torch.manual_seed(1)
        inputs = torch.randint(0, 256, (count, num_sources, 3, *size), dtype=torch.uint8)
        targets = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8)
        samples = [BaseDataElement(metainfo={"stem": f"v{i}"}) for i in range(count)]
        if with_target:
            for sample, target in zip(samples, targets):
                sample.set_data({"target": target})
        return {"inputs": list(inputs), "data_samples": samples}

    return batch

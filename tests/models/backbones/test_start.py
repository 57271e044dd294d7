"""How widely parameters start."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gemini_det3d.models.backbones import GeminiMiT
from gemini_det3d.models.translators import MiTGenerator

SMALL = dict(dims=(32, 64), depths=(1, 1), num_heads=(1, 2), sr_ratios=(2, 1))


def norms(module):
    return [m for m in module.modules() if isinstance(m, nn.LayerNorm)]


def test_mit_starts_as_released():
    torch.manual_seed(0)
    model = GeminiMiT("b0")
    assert all((n.weight == 1).all() and (n.bias == 0).all() for n in norms(model))
    assert float(model.stages[3].blocks[0].attn.q.weight.std()) == pytest.approx(0.02, rel=0.05)


def test_mit_starts_as_wide_as_asked_for():
    torch.manual_seed(0)
    model = GeminiMiT("b0", linear_std=0.15, norm_std=0.5)
    assert float(model.stages[3].blocks[0].attn.q.weight.std()) == pytest.approx(0.15, rel=0.05)
    scales = torch.cat([n.weight for n in norms(model)])
    shifts = torch.cat([n.bias for n in norms(model)])
    assert float(scales.mean()) == pytest.approx(1.0, abs=0.05)
    assert float(scales.std()) == pytest.approx(0.5, rel=0.1)
    assert float(shifts.std()) == pytest.approx(0.5, rel=0.1)
    first, second = model.stages[0].blocks[0].norm1
    assert not torch.equal(first.bias, second.bias)  # what tells the streams apart


def test_generator_spreads_the_norms_of_encoder_and_decoder():
    generator = MiTGenerator(**SMALL, norm_std=0.5)
    assert all((n.bias != 0).any() for n in norms(generator))


def test_negative_width_is_refused():
    with pytest.raises(ValueError, match="norm_std must be 0 or more"):
        GeminiMiT("b0", norm_std=-0.1)


def test_generator_starts_grey():
    torch.manual_seed(0)
    images, ensemble = MiTGenerator(**SMALL)(torch.randn(1, 2, 3, 32, 32))
    assert images.abs().max() < 0.5 and ensemble.abs().max() < 0.5

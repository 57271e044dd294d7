"""The encoders against outputs of the released modules."""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.models.backbones import GeminiMiT, GeminiSwin
from gemini_det3d.models.backbones.mit_layers import MiTAttention
from gemini_det3d.models.backbones.slot import build_slot
from gemini_det3d.models.checkpoints import from_released_segmentor

ABSOLUTE = 1e-5


def test_mit_attention_matches_the_released_one(golden):
    data = golden("mit_attention_c32_sr2")
    (height, width), (heads,), (sr,) = map(data.ints, ("hw", "num_heads", "sr_ratio"))
    params = data.params("encoder.block1.0.attn.")
    params["encoder.patch_embed1.proj.module.weight"] = torch.zeros(1)
    state = from_released_segmentor(params).state
    start = "backbone.stages.0.blocks.0.attn."
    attention = MiTAttention(32, heads, sr, 2, build_slot(None, 32, True)).double()
    attention.load_state_dict({n[len(start) :]: t for n, t in state.items() if start in n})
    streams = torch.cat([x.unflatten(1, (height, width)) for x in data.inputs()])
    for stream, out in enumerate(attention(streams, 2).chunk(2)):
        torch.testing.assert_close(out.flatten(1, 2), data[f"y{stream}"])


def mit_segmentor(data):
    return GeminiMiT(
        dims=data.ints("dims"), depths=data.ints("depths"), num_heads=data.ints("heads")
    ), data.backbone()


def swin(data):
    return GeminiSwin(
        embed_dim=data.ints("embed_dim")[0],
        depths=data.ints("depths"),
        num_heads=data.ints("heads"),
        window_size=data.ints("window_size")[0],
    ), data.backbone("encoder.body.")


def multimodal4_backbone(data):
    return GeminiMiT(
        dims=data.ints("dims"),
        depths=data.ints("depths"),
        num_modalities=data.ints("num_modalities")[0],
    ), data.backbone("backbone.")


@pytest.mark.parametrize("build", [mit_segmentor, swin, multimodal4_backbone])
def test_encoder_matches_the_released_one(golden, build):
    data = golden(build.__name__)
    backbone, state = build(data)
    backbone.load_state_dict(state)
    with torch.no_grad():
        features = backbone.eval()(data.inputs())
    for stream, maps in enumerate(features):
        for stage, features_at in enumerate(maps):
            wanted = data[f"feat{stream}_{stage}"]
            torch.testing.assert_close(features_at, wanted, rtol=0, atol=ABSOLUTE)

"""What points read from the tiles they touch is what whole maps say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from point_necks import ASIDE, BEHIND, SEEN, build, frame

from gemini_det3d.models.necks import point_fusion
from gemini_det3d.models.necks.point_fusion import read_image


def read_both_ways(necks, images, points, metas):
    """Tokens of every neck by tiles, then by whole maps, in float64, with all gradients."""
    necks = torch.nn.ModuleList(necks).double()
    images = [image.double().requires_grad_() for image in images]
    read = [part for neck in necks for part in (neck.lateral_convs, neck.img_transform[0])]
    wanted = [*images, *(p for part in read for p in part.parameters())]
    ways = []
    for reads in ("auto", "maps"):
        for neck in necks:
            neck.sampler = replace(neck.sampler, reads=reads)
        samples = read_image(necks, images, points, metas)
        tokens = [_tokens(*each) for each in zip(necks, samples)]
        seeds = [torch.arange(t.numel()).view(t.shape).cos().double() for t in tokens]
        ways.append((samples, tokens, torch.autograd.grad(tokens, wanted, seeds)))
    return ways


def _tokens(neck, samples):
    if samples.is_projected:
        return samples.features
    rows = samples.features if samples.seen is None else samples.features[samples.seen]
    return neck.img_transform[0](rows)


@pytest.mark.parametrize("outside", ["invalid", "zeros"])
@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(
    "second", [[], [[6.0, 2.0, 1.0], BEHIND, SEEN], [ASIDE], [[torch.nan] * 3, SEEN]], ids=len
)
def test_tiles_that_points_touch_say_what_whole_maps_say(meta, outside, padding, align, second):
    options = dict(outside_image=outside, padding_mode=padding, align_corners=align)
    necks = [build(mid_channels=m, out_channels=o, **options) for m, o in ((8, 8), (24, 16))]
    images, points, _, metas = frame(meta, [[SEEN, ASIDE, [5.0, -4.0, -2.9]], second], batch=2)
    by_tiles, by_maps = read_both_ways(necks, images, points, metas)
    assert all(s.is_projected for s in by_tiles[0]) and not any(s.is_projected for s in by_maps[0])
    for found, expected in zip((*by_tiles[1], *by_tiles[2]), (*by_maps[1], *by_maps[2])):
        # places are rounded in the same way; sums in another order
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_seen_points_read_tiles_without_a_whole_map(meta, monkeypatch):
    neck = build()
    monkeypatch.setattr(neck, "lateral", lambda *_: pytest.fail("a whole map was made"))
    assert neck(*frame(meta, [[SEEN, ASIDE]])).isfinite().all()


@pytest.mark.parametrize(
    "options",
    [
        dict(lateral_conv=False),
        dict(aligned=False),
        dict(padding_mode="reflection"),
        dict(norm_cfg=dict(type="BN")),
        dict(act_cfg=dict(type="ReLU")),
        dict(conv_cfg=dict(type="ConvWS")),
        dict(mid_channels=4),  # folded, the filters would be larger
    ],
    ids=str,
)
def test_whole_maps_are_read_where_folding_would_say_something_else(meta, options, monkeypatch):
    monkeypatch.setattr(point_fusion, "read_tiles", lambda *_: pytest.fail("tiles were read"))
    assert build(**options)(*frame(meta, [[SEEN, ASIDE]])).isfinite().all()


def test_whole_maps_are_read_under_autocast(meta, monkeypatch):
    monkeypatch.setattr(point_fusion, "read_tiles", lambda *_: pytest.fail("tiles were read"))
    with torch.autocast("cpu", torch.bfloat16):
        assert build()(*frame(meta, [[SEEN, ASIDE]])).isfinite().all()

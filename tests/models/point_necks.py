"""A small `PointFusionNeck`, and a frame whose points it sees or does not."""

from __future__ import annotations

import torch
from mmdet3d.registry import MODELS

CHANNELS = dict(img_channels=5, pts_channels=7, mid_channels=8, out_channels=8, img_levels=[0, 1])
SEEN, BEHIND, ASIDE = [5.0, 2.0, -1.0], [-5.0, -2.0, 1.0], [5.0, 90.0, 0.0]


def build(**options):
    options = {"align_corners": False, **CHANNELS, **options}
    neck = MODELS.build(dict(type="PointFusionNeck", **options))
    neck.init_weights()
    return neck.eval()


def frame(meta, points, batch=1):
    images = [torch.randn(batch, 5, 16, 24), torch.randn(batch, 5, 8, 12)]
    points = [torch.tensor(p).reshape(-1, 3) for p in points]
    feats = torch.randn(sum(map(len, points)), 7)
    return images, points, feats, [meta] * batch

"""The head of the segmentors against its definition."""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.models.decode_heads import SegFormerMLPHead

CLASSES = 5


def test_head_equals_its_definition():
    torch.manual_seed(0)
    head = SegFormerMLPHead([3, 5], CLASSES, embed_dim=7).eval()
    maps = [torch.rand(2, 3, 8, 6), torch.rand(2, 5, 4, 3)]
    projected = [p(m.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
                 for p, m in zip(head.projections, maps)]  # fmt: skip
    large = torch.nn.functional.interpolate(projected[1], (8, 6), mode="bilinear")
    mixed = head.fuse["conv"](torch.cat([large, projected[0]], dim=1))
    wanted = head.classify(torch.relu(head.fuse["bn"](mixed)))
    torch.testing.assert_close(head(maps), wanted)


@pytest.mark.parametrize("with_train", [False, True])
def test_norm_eval_keeps_the_statistics(with_train):
    head = SegFormerMLPHead([3], CLASSES, embed_dim=7, norm_eval=True)
    head = head.train() if with_train else head
    head([torch.rand(2, 3, 8, 6)])
    assert head.fuse["bn"].running_mean.abs().sum() == 0

"""The all-MLP head of SegFormer (Xie et al., NeurIPS 2021).

Each map is projected to D channels, enlarged to the first one's size, and all are mixed by one
linear layer. Mixing and enlarging are linear and commute, so each map passes through its share of
the mixing layer while it is still small: the same numbers for a fraction of the work.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from gemini_det3d.registration import register


@register(MODELS)
class SegFormerMLPHead(BaseModule):
    """Maps of one stream -> logits; a segmentor applies the same head to each stream.

    Args:
        in_channels: Channels of the maps, largest map first.
        num_classes: K.
        embed_dim: D; 256 in the released NYUDv2 models, 512 for DeLiVER.
        dropout: Share of channels dropped in training.
        norm_eval: Keep the batch norm at its running statistics in training, as the released
            NYUDv2 and SUN RGB-D runs do.
        init_cfg: As in mmengine.

    Raises:
        ValueError: A number is below 1.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        embed_dim: int = 256,
        dropout: float = 0.1,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value in {"num_classes": num_classes, "embed_dim": embed_dim}.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"SegFormerMLPHead: {name} must be 1 or more, got {value!r}")
        self.num_classes = num_classes
        self.norm_eval = norm_eval
        self.projections = nn.ModuleList(nn.Linear(dim, embed_dim) for dim in in_channels)
        mixed = len(in_channels) * embed_dim
        self.fuse = nn.ModuleDict(
            {"conv": nn.Conv2d(mixed, embed_dim, 1, bias=False), "bn": nn.BatchNorm2d(embed_dim)}
        )
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(embed_dim, num_classes, 1)
        self.train()

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Classify.

        Args:
            maps: ``(B, C_s, H_s, W_s)`` each.

        Returns:
            Logits ``(B, K, H_0, W_0)``.

        Raises:
            ValueError: Not as many maps as ``in_channels``.
        """
        if len(maps) != len(self.projections):
            raise ValueError(
                f"SegFormerMLPHead: in_channels has {len(self.projections)} entries, got "
                f"{len(maps)} maps"
            )
        # as released, the smallest map comes first in the mixing layer
        shares = reversed(self.fuse["conv"].weight.chunk(len(maps), dim=1))
        mixed = 0
        for features, project, share in zip(maps, self.projections, shares):
            projected = project(features.permute(0, 2, 3, 1))
            small = F.linear(projected, share.flatten(1)).permute(0, 3, 1, 2)
            mixed = mixed + enlarge(small, maps[0].shape[-2:])
        hidden = F.relu(self.fuse["bn"](mixed))
        return self.classify(self.dropout(hidden))

    def train(self, mode: bool = True) -> SegFormerMLPHead:
        """Switch to training, the batch norm only if it is to learn statistics."""
        super().train(mode)
        if mode and self.norm_eval:
            self.fuse["bn"].eval()
        return self


def enlarge(features: Tensor, size: Sequence[int], mode: str = "bilinear") -> Tensor:
    """Resize ``(B, C, H, W)`` to ``size``; pixels are areas, as everywhere here."""
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return F.interpolate(features, tuple(size), mode=mode, align_corners=False)

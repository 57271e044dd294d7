"""The discriminator of the translation protocol: a MiT that judges pairs patch by patch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from gemini_det3d.models.backbones import GeminiMiT
from gemini_det3d.models.translators.generator import choose_stages
from gemini_det3d.registration import register


@register(MODELS)
class MiTPatchDiscriminator(BaseModule):
    """Says for each patch whether an image is a true translation of a source.

    Five halving stages make a map of 8 x 8 logits out of 256 x 256 pixels. The sigmoid of the
    protocol is part of the loss. The arguments are those of `MiTGenerator`.

    Raises:
        ValueError: Arguments do not fit each other; the message names them.
    """

    def __init__(
        self,
        arch: str | None = None,
        dims: Sequence[int] | None = None,
        depths: Sequence[int] | None = None,
        num_heads: Sequence[int] = (1, 2, 4, 8, 16),
        sr_ratios: Sequence[int] = (16, 8, 4, 2, 1),
        mlp_ratio: float = 4,
        with_checkpoint: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        dims, depths = choose_stages("MiTPatchDiscriminator", arch, dims, depths)
        self.encoder = GeminiMiT(
            num_modalities=1, last_k=0, dims=dims, depths=depths, num_heads=num_heads,
            sr_ratios=sr_ratios, patch_sizes=(3,) * len(dims), strides=(2,) * len(dims),
            mlp_ratio=mlp_ratio, in_channels=6, with_checkpoint=with_checkpoint,
        )  # fmt: skip
        self.judge = nn.Conv2d(dims[-1], 1, 1)

    def forward(self, sources: Tensor, images: Tensor) -> Tensor:
        """Judge pairs.

        Args:
            sources: ``(N, 3, H, W)``, -1 to 1.
            images: ``(N, 3, H, W)``, -1 to 1: true or translated.

        Returns:
            ``(N, 1, h, w)`` logits, high for real; h and w are H and W halved once per stage.
        """
        (maps,) = self.encoder([torch.cat([sources, images], dim=1)])
        return self.judge(maps[-1])

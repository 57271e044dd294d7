"""The generator of the translation protocol: a MiT U-Net of several sources.

Source: the translation task of the GeminiFusion paper (section 4, Table 2), which follows
TokenFusion (Wang et al., CVPR 2022): five halving stages, fusion in the last block of each encoder
stage, a pixel-shuffle decoder, weights shared by the streams and a norm for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from gemini_det3d.models.backbones import GeminiMiT
from gemini_det3d.models.backbones.layers import choose_architecture
from gemini_det3d.models.backbones.mit_layers import spread_norms
from gemini_det3d.models.translators.decoder import PixelShuffleDecoder
from gemini_det3d.registration import register

_NARROW, _WIDE = (32, 64, 128, 256, 512), (64, 128, 256, 512, 1024)
ARCHITECTURES = {
    "b0": (_NARROW, (2, 2, 2, 2, 2)),
    "b1": (_WIDE, (2, 2, 2, 2, 2)),
    "b2": (_WIDE, (3, 4, 4, 6, 3)),
}
ARCHITECTURES["tiny"], ARCHITECTURES["small"] = ARCHITECTURES["b1"], ARCHITECTURES["b2"]
"""Channels and blocks of each stage; "tiny" and "small" are the sizes of the published tables."""


def choose_stages(
    owner: str, arch: str | None, dims: Sequence[int] | None, depths: Sequence[int] | None
) -> tuple[Sequence[int], Sequence[int]]:
    """Channels and blocks of each stage, from a name or from numbers.

    Raises:
        ValueError: An unknown name, neither name nor numbers, or numbers of different counts.
    """
    dims, depths = choose_architecture(owner, ARCHITECTURES, arch, dims=dims, depths=depths)
    if len(dims) != len(depths) or len(dims) < 2:
        raise ValueError(f"{owner}: dims={dims} and depths={depths} must tell of the same stages, "
                         "two or more")  # fmt: skip
    return tuple(dims), tuple(depths)


@register(MODELS)
class MiTGenerator(BaseModule):
    """Aligned source images -> an image per stream, and their ensemble.

    The streams are those of `GeminiMiT`: one per source for one and two sources; of more, the first
    source is one stream and the hub merges the others into the second.

    Args:
        arch: "b0", "b1" (= "tiny"), "b2" (= "small"); None: ``dims`` and ``depths`` tell the size.
        num_sources: S.
        operator: Config of the fusion operator; None: GeminiFusion with 8 heads.
        fuse_at: "stage_ends": in the last block of each encoder stage; "stage_outputs": behind it,
            on what the stage hands out; "every_block".
        last_k: Only the last k slots fuse; None: all.
        dims: Channels of each stage, multiples of 4.
        depths: Blocks of each stage.
        num_heads: Heads of the self-attention of each stage.
        sr_ratios: How much smaller the keys' map is, each stage.
        mlp_ratio: Hidden channels of the feed-forward, in C.
        linear_std: As in `GeminiMiT`, of the encoder.
        norm_std: As there, of encoder and decoder.
        with_checkpoint: Keep only the inputs of each block for the backward.
        init_cfg: As in mmengine.

    Raises:
        ValueError: Arguments do not fit each other; the message names them.
    """

    def __init__(
        self,
        arch: str | None = None,
        num_sources: int = 2,
        operator: Mapping[str, Any] | None = None,
        fuse_at: str = "stage_ends",
        last_k: int | None = None,
        dims: Sequence[int] | None = None,
        depths: Sequence[int] | None = None,
        num_heads: Sequence[int] = (1, 2, 4, 8, 16),
        sr_ratios: Sequence[int] = (16, 8, 4, 2, 1),
        mlp_ratio: float = 4,
        linear_std: float = 0.02,
        norm_std: float = 0.0,
        with_checkpoint: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        dims, depths = choose_stages("MiTGenerator", arch, dims, depths)
        self.num_sources, self.num_stages = num_sources, len(dims)
        self.encoder = GeminiMiT(
            num_modalities=num_sources, operator=operator, fuse_at=fuse_at, last_k=last_k,
            dims=dims, depths=depths, num_heads=num_heads, sr_ratios=sr_ratios,
            patch_sizes=(3,) * len(dims), strides=(2,) * len(dims), mlp_ratio=mlp_ratio,
            linear_std=linear_std, norm_std=norm_std, with_checkpoint=with_checkpoint,
        )  # fmt: skip
        self.num_streams = self.encoder.num_streams
        self.decoder = PixelShuffleDecoder(
            dims, depths, num_heads, sr_ratios, mlp_ratio, self.num_streams,
            with_checkpoint=with_checkpoint,
        )  # fmt: skip
        spread_norms(self.decoder, norm_std)
        self.alpha = nn.Parameter(torch.ones(self.num_streams)) if self.num_streams > 1 else None

    def forward(self, sources: Tensor) -> tuple[Tensor, Tensor]:
        """Translate.

        Args:
            sources: ``(B, S, 3, H, W)``, -1 to 1.

        Returns:
            ``(B, O, 3, H, W)``, the images of the O streams, and ``(B, 3, H, W)``, their ensemble:
            a sum weighted by softmax(alpha), through which gradients reach only alpha. A single
            stream is its own ensemble.

        Raises:
            ValueError: Another number of sources, or H or W is no multiple of the smallest map's
                step.
        """
        step = 2**self.num_stages
        if sources.dim() != 5 or sources.shape[1] != self.num_sources:
            raise ValueError(
                f"MiTGenerator: num_sources={self.num_sources}, got images {tuple(sources.shape)}"
            )
        if sources.shape[3] % step or sources.shape[4] % step:
            size = f"{sources.shape[3]} x {sources.shape[4]}"
            raise ValueError(f"MiTGenerator: images of {size}; both must be multiples of {step}")
        images = torch.stack(self.decoder(self.encoder(sources.unbind(1))), dim=1)
        if self.alpha is None:
            return images, images[:, 0]
        weights = self.alpha.softmax(dim=0).view(1, -1, 1, 1, 1)
        return images, (weights * images.detach()).sum(dim=1)

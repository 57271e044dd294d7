"""Swin Transformer (Liu et al., ICCV 2021) of several streams with a fusion slot.

As in the released segmentors the streams share all weights, the blocks' norms too; only the norms
of the patch embedding and of the outputs belong to a modality. Shape shorthand: B images, H x W
map, C channels; maps are ``(B, H, W, C)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.fusion import FusionOperator
from gemini_det3d.models.backbones.base import FusionBackbone, FusionStage
from gemini_det3d.models.backbones.layers import (
    ModalityHub,
    choose_architecture,
    convolve,
    drop_path,
    fuse,
    modality_norms,
    rising_rates,
)
from gemini_det3d.models.backbones.slot import build_slot, is_among_all, plan_slots
from gemini_det3d.models.backbones.windows import WindowAttention
from gemini_det3d.registration import register

ARCHITECTURES = {
    "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "small": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "large": (192, (2, 2, 18, 2), (6, 12, 24, 48)),
}
"""Channels of the first stage, blocks and heads of each stage."""

_NORM_EPS = 1e-5


class PatchEmbed(nn.Module):
    """Cut into patches, project, norm as the modality; the image is padded to whole patches."""

    def __init__(self, in_dim: int, dim: int, patch: int, num_modalities: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(in_dim, dim, patch, patch)
        self.norm = modality_norms(num_modalities, dim)

    def forward(self, image: Tensor, modality: int) -> Tensor:
        """``(B, H, W, C)`` -> ``(B, h, w, D)``."""
        height, width = image.shape[1:3]
        image = F.pad(image, (0, 0, 0, -width % self.patch, 0, -height % self.patch))
        return self.norm[modality](convolve(self.proj, image))


class PatchMerging(nn.Module):
    """Four neighbours become one pixel of twice the channels; shared by all modalities."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim, eps=_NORM_EPS)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor, modality: int) -> Tensor:
        """``(B, H, W, C)`` -> ``(B, ceil(H / 2), ceil(W / 2), 2 C)``."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))


class FeedForward(nn.Module):
    """Two linear layers."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` -> the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Window attention, the fusion slot behind it, and a feed-forward; both with residuals.

    Args:
        dim: Channels C.
        num_heads: Of the self-attention.
        window: Its window size, pixels.
        shift: See `WindowAttention`.
        mlp_ratio: Hidden channels of the feed-forward, in C.
        drop_rate: Stochastic depth.
        operator: Fuses the streams after the attention; None: no fusion.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window: int,
        shift: int = 0,
        mlp_ratio: float = 4,
        drop_rate: float = 0.0,
        operator: FusionOperator | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.attn = WindowAttention(dim, num_heads, window, shift)
        self.operator = operator
        self.norm2 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))
        self.drop_path = drop_path(drop_rate)

    def forward(self, streams: Sequence[Tensor], valid: Tensor | None = None) -> list[Tensor]:
        """Streams of ``(B, H, W, C)`` and ``(B,)`` of bool, or None -> the same shapes."""
        read = fuse(self.operator, [self.attn(self.norm1(x)) for x in streams], valid)
        streams = [x + self.drop_path(y) for x, y in zip(streams, read)]
        return [x + self.drop_path(self.mlp(self.norm2(x))) for x in streams]


@register(MODELS)
class GeminiSwin(FusionBackbone):
    """Swin Transformer of one, two or more aligned modalities with fusion in its blocks.

    Args:
        arch: "tiny", "small" or "large": channels, blocks, heads; None: the next three tell them.
        embed_dim: Channels of the first stage; each further one has twice as many.
        depths: Blocks of each stage.
        num_heads: Heads of the self-attention of each stage.
        window_size: Pixels; 7 and 12 in the released models.
        num_modalities: M; see `FusionBackbone`.
        operator: Config of the operator in each slot; None: GeminiFusion with 8 heads. One that
            fuses all modalities at once (`GeminiWaysFusion`) makes each a stream, without hub.
        last_k: Only the last k slots fuse; 0: none, None: all.
        fuse_at: Slots in "every_block", at "stage_ends" or at "stage_outputs"; see `plan_slots`.
        mlp_ratio: Hidden channels of the feed-forward, in C.
        drop_path_rate: Stochastic depth of the last block; rises linearly from 0.
        in_channels: Of every modality.
        with_checkpoint: See `FusionBackbone`.
        init_cfg: See `FusionBackbone`.

    Raises:
        ValueError: Arguments do not fit each other; the message names them.
    """

    def __init__(
        self,
        arch: str | None = None,
        embed_dim: int | None = None,
        depths: Sequence[int] | None = None,
        num_heads: Sequence[int] | None = None,
        window_size: int = 7,
        num_modalities: int = 2,
        operator: Mapping[str, Any] | None = None,
        last_k: int | None = None,
        fuse_at: str = "every_block",
        mlp_ratio: float = 4,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        with_checkpoint: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(num_modalities, with_checkpoint, init_cfg, is_among_all(operator))
        embed_dim, depths, num_heads = _architecture(arch, embed_dim, depths, num_heads)
        self.dims = tuple(embed_dim * 2**s for s in range(len(depths)))
        slots = plan_slots(depths, last_k if num_modalities > 1 else 0, fuse_at)
        rates = rising_rates(drop_path_rate, depths)
        self.stages = nn.ModuleList()
        for s, dim in enumerate(self.dims):
            embed = PatchMerging(dim // 2) if s else PatchEmbed(in_channels, dim, 4, num_modalities)
            blocks = nn.ModuleList(
                SwinBlock(
                    dim, num_heads[s], window_size, (i % 2) * (window_size // 2), mlp_ratio,
                    next(rates), build_slot(operator, dim, is_wanted, self.num_streams),
                )
                for i, is_wanted in enumerate(slots[s][:-1])
            )  # fmt: skip
            norms = modality_norms(self.num_streams, dim)
            hub = ModalityHub(dim, num_modalities - 1 if self.num_streams <= 2 else 0)
            behind = build_slot(operator, dim, slots[s][-1], self.num_streams)
            self.stages.append(FusionStage(embed, hub, blocks, norms, behind, carries_norm=False))
        self.apply(_init_layer)


def _init_layer(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _architecture(arch, embed_dim, depths, num_heads):
    embed_dim, depths, num_heads = choose_architecture(
        "GeminiSwin", ARCHITECTURES, arch, embed_dim=embed_dim, depths=depths, num_heads=num_heads
    )
    if len(depths) != len(num_heads):
        raise ValueError(
            f"GeminiSwin: num_heads={tuple(num_heads)} must have one value for each of the "
            f"{len(depths)} stages"
        )
    for s, heads in enumerate(num_heads):
        if heads < 1 or embed_dim * 2**s % heads:
            raise ValueError(f"GeminiSwin: num_heads={heads} must divide {embed_dim * 2**s}")
    return embed_dim, tuple(depths), tuple(num_heads)

"""Layers of the Mix Transformer of several streams, and how their parameters start; see `mit`.

Shape shorthand: B images, H x W map, C channels, h heads; maps are ``(B, H, W, C)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gemini_det3d.fusion import FusionOperator
from gemini_det3d.models.backbones.layers import (
    convolve,
    drop_path,
    fuse,
    modality_norms,
    norm_each,
)


class OverlapPatchEmbed(nn.Module):
    """Strided convolution with overlap, then the norm of the modality.

    Args:
        in_dim: Channels before.
        dim: Channels after.
        patch: Size of the kernel; padded so that the stride alone decides the size.
        stride: Step of the kernel.
        num_modalities: Norms.
    """

    def __init__(self, in_dim: int, dim: int, patch: int, stride: int, num_modalities: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_dim, dim, patch, stride, padding=patch // 2)
        self.norm = modality_norms(num_modalities, dim)

    def forward(self, features: Tensor, modality: int) -> Tensor:
        """``(B, H, W, C)`` -> ``(B, h, w, D)``, normed as the given modality."""
        return self.norm[modality](convolve(self.proj, features))


class MiTAttention(nn.Module):
    """Self-attention on shortened keys, the fusion slot, then the shared output projection.

    Args:
        dim: Channels C.
        num_heads: h, a divisor of C.
        sr_ratio: Keys and values are taken from a map this much smaller on each side.
        num_streams: Norms of the smaller map.
        operator: Fuses the streams before the output projection; None: no fusion.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        sr_ratio: int = 1,
        num_streams: int = 2,
        operator: FusionOperator | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.sr = nn.Conv2d(dim, dim, sr_ratio, stride=sr_ratio) if sr_ratio > 1 else None
        self.norm = modality_norms(num_streams, dim) if sr_ratio > 1 else None
        self.operator = operator

    def forward(self, x: Tensor, num_streams: int, valid: Tensor | None = None) -> Tensor:
        """Streams one after another, ``(S B, H, W, C)``, and ``(B,)`` of bool -> the same shape."""
        read = self._attend(x, num_streams)
        if self.operator is not None and num_streams > 1:
            read = torch.cat(fuse(self.operator, read.chunk(num_streams), valid))
        return self.proj(read)

    def _attend(self, x: Tensor, num_streams: int) -> Tensor:
        short = x
        if self.sr is not None:
            _check_size(x, self.sr.stride[0])
            short = norm_each(self.norm, convolve(self.sr, x), num_streams)
        key, value = self.kv(short).chunk(2, dim=-1)
        heads = (
            t.flatten(1, 2).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for t in (self.q(x), key, value)
        )  # (B, h, tokens, C / h)
        read = F.scaled_dot_product_attention(*heads)
        return read.transpose(1, 2).reshape(x.shape)


def _check_size(x: Tensor, ratio: int) -> None:
    height, width = x.shape[1:3]
    if min(height, width) < ratio:
        raise ValueError(
            f"a map of {height} x {width} is smaller than its entry of sr_ratios, {ratio}: larger "
            "images, or smaller ratios"
        )


class MixFeedForward(nn.Module):
    """Two linear layers with a depthwise 3 x 3 convolution between: it tells places apart."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.dwconv = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1, groups=hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, H, W, C)`` -> the same shape."""
        return self.fc2(F.gelu(convolve(self.dwconv, self.fc1(x))))


class MiTBlock(nn.Module):
    """Attention with its fusion slot, and a feed-forward; both with residuals.

    Args:
        dim: Channels C.
        num_heads: Of the self-attention.
        sr_ratio: See `MiTAttention`.
        mlp_ratio: Hidden channels of the feed-forward, in C.
        drop_rate: Stochastic depth.
        num_streams: Norms.
        operator: See `MiTAttention`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        sr_ratio: int = 1,
        mlp_ratio: float = 4,
        drop_rate: float = 0.0,
        num_streams: int = 2,
        operator: FusionOperator | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = modality_norms(num_streams, dim)
        self.attn = MiTAttention(dim, num_heads, sr_ratio, num_streams, operator)
        self.norm2 = modality_norms(num_streams, dim)
        self.mlp = MixFeedForward(dim, int(dim * mlp_ratio))
        self.drop_path = drop_path(drop_rate)

    def forward(self, streams: Sequence[Tensor], valid: Tensor | None = None) -> list[Tensor]:
        """Streams of ``(B, H, W, C)`` and ``(B,)`` of bool, or None -> the same shapes."""
        count = len(streams)
        x = torch.cat(list(streams)) if count > 1 else streams[0]  # as one batch: half the calls
        x = x + self.drop_path(self.attn(norm_each(self.norm1, x, count), count, valid))
        x = x + self.drop_path(self.mlp(norm_each(self.norm2, x, count)))
        return list(x.chunk(count))


def init_mit_layer(module: nn.Module, linear_std: float = 0.02) -> None:
    """Start values of the released encoder: narrow linear layers, He's for convolutions."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=linear_std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / (fan_out // module.groups)))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def spread_norms(module: nn.Module, std: float) -> None:
    """Draw scales and biases of all LayerNorms around 1 and 0; with 0 they are left alone.

    Raises:
        ValueError: ``std`` is negative.
    """
    if not std >= 0:
        raise ValueError(f"norm_std must be 0 or more, got {std!r}")
    norms = (m for m in module.modules() if isinstance(m, nn.LayerNorm))
    for norm in norms if std > 0 else ():
        nn.init.normal_(norm.weight, mean=1.0, std=std)
        nn.init.normal_(norm.bias, std=std)

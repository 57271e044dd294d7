"""Mix Transformer (SegFormer, Xie et al., NeurIPS 2021) of several streams with a fusion slot.

Streams share all weights but the LayerNorms, as in the released segmentors. Shape shorthand:
B images, H x W map, C channels, h heads; maps are ``(B, H, W, C)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mmdet3d.registry import MODELS
from torch import nn

from gemini_det3d.models.backbones.base import FusionBackbone, FusionStage
from gemini_det3d.models.backbones.layers import (
    ModalityHub,
    choose_architecture,
    modality_norms,
    rising_rates,
)
from gemini_det3d.models.backbones.mit_layers import (
    MiTBlock,
    OverlapPatchEmbed,
    init_mit_layer,
    spread_norms,
)
from gemini_det3d.models.backbones.slot import build_slot, is_among_all, plan_slots
from gemini_det3d.registration import register

_NARROW, _WIDE = (32, 64, 160, 256), (64, 128, 320, 512)
ARCHITECTURES = {
    "b0": (_NARROW, (2, 2, 2, 2)),
    "b1": (_WIDE, (2, 2, 2, 2)),
    "b2": (_WIDE, (3, 4, 6, 3)),
    "b3": (_WIDE, (3, 4, 18, 3)),
    "b4": (_WIDE, (3, 8, 27, 3)),
    "b5": (_WIDE, (3, 6, 40, 3)),
}
"""Channels and blocks of each stage."""


@register(MODELS)
class GeminiMiT(FusionBackbone):
    """Mix Transformer of one, two or more aligned modalities with fusion in its blocks.

    Use: ``GeminiMiT("b3")([rgb, depth])`` gives two lists of four maps at 1/4 to 1/32. Another
    operator: ``operator=dict(type="CrossAttentionFusion", num_heads=8)``. Other encoders are told
    by numbers: any count of stages, for example five that halve (``patch_sizes=(3,) * 5,
    strides=(2,) * 5``) with fusion at the end of each (``fuse_at="stage_ends"``). The parts
    (`OverlapPatchEmbed`, `MiTBlock`, which fuses nothing when ``operator`` is None) can be built
    into decoders.

    Args:
        arch: "b0" to "b5": channels and blocks; None: ``dims`` and ``depths`` tell them.
        num_modalities: M; see `FusionBackbone`.
        operator: Config of the operator in each slot; None: GeminiFusion with 8 heads. One that
            fuses all modalities at once (`GeminiWaysFusion`) makes each a stream, without hub.
        last_k: Only the last k slots fuse; 0: none, None: all (paper, Table 8).
        fuse_at: Slots in "every_block", at "stage_ends" or at "stage_outputs"; see `plan_slots`.
        dims: Channels of each stage.
        depths: Blocks of each stage.
        num_heads: Heads of the self-attention of each stage.
        sr_ratios: How much smaller the keys' map is, each stage.
        patch_sizes: Kernels of the patch embeddings.
        strides: Their strides.
        mlp_ratio: Hidden channels of the feed-forward, in C.
        drop_path_rate: Stochastic depth of the last block; rises linearly from 0.
        in_channels: Of every modality.
        linear_std: How widely the linear layers start. 0.02 as released, for 64 channels and more;
            in narrow encoders nothing would pass at first.
        norm_std: How widely scales and biases of the norms start around 1 and 0. 0 as released,
            where all norms come from one trained norm; without training before, the modalities
            have nothing else that tells them apart in the weights they share.
        with_checkpoint: See `FusionBackbone`.
        init_cfg: See `FusionBackbone`.

    Raises:
        ValueError: Arguments do not fit each other; the message names them.
    """

    def __init__(
        self,
        arch: str | None = None,
        num_modalities: int = 2,
        operator: Mapping[str, Any] | None = None,
        last_k: int | None = None,
        fuse_at: str = "every_block",
        dims: Sequence[int] | None = None,
        depths: Sequence[int] | None = None,
        num_heads: Sequence[int] = (1, 2, 5, 8),
        sr_ratios: Sequence[int] = (8, 4, 2, 1),
        patch_sizes: Sequence[int] = (7, 3, 3, 3),
        strides: Sequence[int] = (4, 2, 2, 2),
        mlp_ratio: float = 4,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        linear_std: float = 0.02,
        norm_std: float = 0.0,
        with_checkpoint: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(num_modalities, with_checkpoint, init_cfg, is_among_all(operator))
        dims, depths = choose_architecture(
            "GeminiMiT", ARCHITECTURES, arch, dims=dims, depths=depths
        )
        self.dims = tuple(dims)
        per_stage = dict(
            depths=depths, num_heads=num_heads, sr_ratios=sr_ratios, patch_sizes=patch_sizes,
            strides=strides,
        )  # fmt: skip
        _check_lengths(self.dims, per_stage)
        _check_divisible(self.dims, num_heads)
        slots = plan_slots(depths, last_k if num_modalities > 1 else 0, fuse_at)
        rates = rising_rates(drop_path_rate, depths)
        self.stages = nn.ModuleList()
        for s, dim in enumerate(self.dims):
            before = self.dims[s - 1] if s else in_channels
            embed = OverlapPatchEmbed(before, dim, patch_sizes[s], strides[s], num_modalities)
            blocks = nn.ModuleList(
                MiTBlock(
                    dim, num_heads[s], sr_ratios[s], mlp_ratio, next(rates), self.num_streams,
                    build_slot(operator, dim, is_wanted, self.num_streams),
                )
                for is_wanted in slots[s][:-1]
            )  # fmt: skip
            hub = ModalityHub(dim, num_modalities - 1 if self.num_streams <= 2 else 0)
            behind = build_slot(operator, dim, slots[s][-1], self.num_streams)
            norms = modality_norms(self.num_streams, dim)
            self.stages.append(FusionStage(embed, hub, blocks, norms, behind, carries_norm=True))
        self.apply(partial(init_mit_layer, linear_std=linear_std))
        spread_norms(self, norm_std)
        for stage in self.stages:  # black areas must not be exactly 0: a LayerNorm of zeros
            nn.init.normal_(stage.embed.proj.bias, std=0.1)  # multiplies gradients by a thousand


def _check_lengths(dims: Sequence[int], per_stage: Mapping[str, Sequence[int]]) -> None:
    for name, values in per_stage.items():
        if len(values) != len(dims):
            raise ValueError(
                f"GeminiMiT: {name}={tuple(values)} must have one value for each of the "
                f"{len(dims)} stages"
            )


def _check_divisible(dims: Sequence[int], num_heads: Sequence[int]) -> None:
    for dim, heads in zip(dims, num_heads):
        if heads < 1 or dim % heads:
            raise ValueError(f"GeminiMiT: num_heads={heads} must divide dims={dim}")

"""The forward of every multi-modal encoder: embed, merge the extras, fuse in the blocks, go on.

Shape shorthand: B images, M modalities, S stages, H x W map, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from gemini_det3d.fusion import FusionOperator, GeminiWaysFusion
from gemini_det3d.models.backbones.layers import ModalityHub, fuse, run_block
from gemini_det3d.models.backbones.pretrained import check_pretrained


class FusionStage(nn.Module):
    """One stage of an encoder.

    Args:
        embed: Called as ``embed(map, modality)``: the map of the former stage, or the image, ->
            ``(B, H, W, C)``.
        hub: Merges the extra modalities.
        blocks: Each is called as ``block(streams, valid)`` and returns the streams.
        norms: One per stream; applied to what the stage hands out.
        operator: Fuses what the norms made of the streams; None: no fusion there.
        carries_norm: Whether the next stage reads the normed map (MiT) or the bare one (Swin).
    """

    def __init__(
        self,
        embed: nn.Module,
        hub: ModalityHub,
        blocks: nn.ModuleList,
        norms: nn.ModuleList,
        operator: FusionOperator | GeminiWaysFusion | None,
        carries_norm: bool,
    ) -> None:
        super().__init__()
        self.embed, self.hub, self.blocks = embed, hub, blocks
        self.operator, self.norms = operator, norms
        self.carries_norm = carries_norm


class FusionBackbone(BaseModule):
    """Encoder of M aligned images with shared weights and a fusion slot in its blocks.

    With one modality it is the plain encoder; with two the streams read each other in every slot;
    with more, the first is one stream and the hub merges the others into the second, unless the
    operator fuses all at once (`GeminiWaysFusion`): then every modality is a stream.

    Args:
        num_modalities: M, 1 or more.
        with_checkpoint: Keep only the inputs of each block for the backward.
        init_cfg: As in mmengine, for example
            ``dict(type='Pretrained', checkpoint='mit_b3_imagenet.pth')`` with a file that
            ``gemini-det3d convert-checkpoint`` wrote; all but operators and hubs must be in it.
        is_among_all: Whether every modality is a stream, not merged with others.

    Raises:
        ValueError: ``num_modalities`` is below 1.
    """

    stages: nn.ModuleList

    def __init__(
        self,
        num_modalities: int,
        with_checkpoint: bool = False,
        init_cfg: dict | None = None,
        is_among_all: bool = False,
    ) -> None:
        super().__init__(init_cfg)
        if not isinstance(num_modalities, int) or num_modalities < 1:
            raise ValueError(f"num_modalities must be 1 or more, got {num_modalities!r}")
        self.num_modalities = num_modalities
        self.is_among_all = is_among_all
        self.num_streams = num_modalities if is_among_all else min(num_modalities, 2)
        self.with_checkpoint = with_checkpoint

    def init_weights(self) -> None:
        """As mmengine does it, once the file of a ``Pretrained`` is known to fit."""
        check_pretrained(self, self.init_cfg)
        super().init_weights()

    def forward(
        self, images: Sequence[Tensor], exists: Sequence[Tensor] | None = None
    ) -> list[list[Tensor]]:
        """Encode.

        Args:
            images: M images of ``(B, 3, H, W)``, aligned pixel by pixel, the leading modality
                first.
            exists: For each modality ``(B,)`` bool, whether its sensor delivered; what it holds
                where it did not is not read by the other stream. None: all did.

        Returns:
            For each stream its S maps, ``(B, C_s, H_s, W_s)``.

        Raises:
            ValueError: Not M images, or images of different shapes.
        """
        self._check(images, exists)
        if exists is not None and all(bool(e.all()) for e in exists):
            exists = None
        streams_exist = self.streams_exist(exists)
        valid = None if streams_exist is None else torch.stack(streams_exist)
        if valid is not None and not self.is_among_all:
            valid = valid.all(dim=0)
        maps = [image.permute(0, 2, 3, 1) for image in images]
        features: list[list[Tensor]] = [[] for _ in range(self.num_streams)]
        for stage in self.stages:
            maps, outs = self._run_stage(stage, maps, exists, valid)
            for collected, out in zip(features, outs):
                collected.append(out.permute(0, 3, 1, 2))
        return features

    def streams_exist(self, exists: Sequence[Tensor] | None) -> list[Tensor] | None:
        """For each stream ``(B,)`` bool: the first modality; any of the others merged into it."""
        if exists is None:
            return None
        if self.is_among_all:
            return list(exists)
        if self.num_modalities == 1:
            return [exists[0]]
        return [exists[0], torch.stack(list(exists[1:])).any(dim=0)]

    def _run_stage(
        self,
        stage: FusionStage,
        maps: Sequence[Tensor],
        exists: Sequence[Tensor] | None,
        valid: Tensor | None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Maps of the M modalities for the next stage, and what the streams hand out."""
        maps = [stage.embed(x, modality) for modality, x in enumerate(maps)]
        streams, extras = (maps, []) if self.is_among_all else (maps[:1], maps[1:])
        if extras:
            extras, merged = stage.hub(extras, None if exists is None else exists[1:])
            streams = [*streams, merged]
        for block in stage.blocks:
            streams = run_block(block, streams, valid, self.with_checkpoint)
        outs = fuse(stage.operator, [norm(x) for norm, x in zip(stage.norms, streams)], valid)
        carried = outs if stage.carries_norm else streams
        if len(extras) > 1:
            return [carried[0], *(x + carried[1] for x in extras)], outs
        return list(carried), outs

    def _check(self, images: Sequence[Tensor], exists: Sequence[Tensor] | None) -> None:
        counts = {"images": images, "exists": images if exists is None else exists}
        for name, given in counts.items():
            if len(given) != self.num_modalities:
                raise ValueError(
                    f"{type(self).__name__}: num_modalities={self.num_modalities}, got "
                    f"{len(given)} {name}"
                )
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            raise ValueError(f"{type(self).__name__}: images differ in shape: {sorted(shapes)}")

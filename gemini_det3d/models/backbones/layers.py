"""What the two-stream encoders share: one norm per modality, the hub, and the drive of a block.

Shape shorthand: B images, M modalities, H x W map, C channels. Maps are channel last,
``(B, H, W, C)``; the convolutions see them as channels-last ``(B, C, H, W)`` without a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gemini_det3d.fusion import FusionOperator, GeminiWaysFusion


def modality_norms(num_modalities: int, dim: int, eps: float = 1e-6) -> nn.ModuleList:
    """One LayerNorm per modality: all that the streams of an encoder do not share."""
    return nn.ModuleList(nn.LayerNorm(dim, eps=eps) for _ in range(num_modalities))


def norm_each(norms: nn.ModuleList, x: Tensor, num_streams: int) -> Tensor:
    """Norm streams that lie one after another, ``(S B, ..., C)``, each by its own."""
    if num_streams == 1:
        return norms[0](x)
    return torch.cat([norm(stream) for norm, stream in zip(norms, x.chunk(num_streams))])


def convolve(layer: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """Apply a convolution ``(B, C, H, W)`` -> ``(B, D, h, w)`` to a channel-last map."""
    return layer(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def drop_path(rate: float) -> nn.Module:
    """Stochastic depth, or nothing."""
    return DropPath(rate) if rate > 0 else nn.Identity()


def choose_architecture(
    owner: str, table: Mapping[str, tuple], arch: str | None, **given: Any
) -> list[Any]:
    """The numbers of an encoder, from a name or as they are given.

    Args:
        owner: Who asks, for the error.
        table: Name -> numbers, in the order of ``given``.
        arch: A name; None: the numbers say it.
        **given: Numbers by their argument's name; in place of those of ``arch`` unless None.

    Raises:
        ValueError: An unknown name, or neither a name nor all numbers.
    """
    if arch is not None and arch not in table:
        raise ValueError(f"{owner}: arch must be one of {list(table)}, got {arch!r}")
    known = table.get(arch, [None] * len(given))
    chosen = [value or default for value, default in zip(given.values(), known)]
    if None in chosen:
        *first, last = given
        raise ValueError(f"{owner}: give arch, or {', '.join(first)} and {last}")
    return chosen


def rising_rates(last: float, depths: Sequence[int]) -> Iterator[float]:
    """Rates of stochastic depth of all blocks, from 0 to the last one's."""
    count = sum(depths)
    return (last * index / max(count - 1, 1) for index in range(count))


def fuse(
    operator: FusionOperator | GeminiWaysFusion | None,
    streams: Sequence[Tensor],
    valid: Tensor | None,
) -> list[Tensor]:
    """Let the streams read each other through the slot of a block.

    Args:
        operator: The block's operator; None leaves the streams alone.
        streams: Two maps of ``(B, ..., C)``, or as many as the operator fuses; or one, which has
            nobody to read.
        valid: ``(B,)`` bool, whether both streams of an image exist, or ``(S, B)``, whether each
            of more does; None: all do.
    """
    if operator is None or len(streams) == 1:
        return list(streams)
    if isinstance(operator, GeminiWaysFusion):
        ones = [1] * (streams[0].dim() - 2)
        return operator(streams, None if valid is None else [v.view(-1, *ones) for v in valid])
    first, second = streams
    if valid is not None:
        valid = valid.view(-1, *[1] * (first.dim() - 2))
    return list(operator(first, second, valid))


def run_block(
    block: nn.Module, streams: Sequence[Tensor], valid: Tensor | None, with_checkpoint: bool
) -> list[Tensor]:
    """Call a block; with checkpointing, its activations are computed again in the backward."""
    if with_checkpoint and torch.is_grad_enabled():
        return checkpoint(block, list(streams), valid, use_reentrant=False)
    return block(list(streams), valid)


class ModalityHub(nn.Module):
    """Merge any number of extra modalities into one stream (self-query hub of CMNeXt).

    A map scores its own pixels, ``x <- x + sigmoid(score(x)) x``, and the merged stream is the
    largest value over the modalities. A modality that does not exist in an image takes no part;
    where none does the merged stream is zero.

    Args:
        dim: Channels C.
        num_extras: Modalities to merge, 1 or more; a single one passes through, without scores.
    """

    def __init__(self, dim: int, num_extras: int) -> None:
        super().__init__()
        self.num_extras = num_extras
        num_scores = num_extras if num_extras > 1 else 0
        self.scores = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1, groups=dim), nn.Conv2d(dim, 1, 1))
            for _ in range(num_scores)
        )

    def forward(
        self, extras: Sequence[Tensor], exists: Sequence[Tensor] | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Score and merge.

        Args:
            extras: Maps of ``(B, H, W, C)``.
            exists: For each of them ``(B,)`` bool; None: all exist.

        Returns:
            The scored maps, and the merged one.

        Raises:
            ValueError: Not as many maps or masks as ``num_extras``.
        """
        for name, given in (("extras", extras), ("exists", extras if exists is None else exists)):
            if len(given) != self.num_extras:
                raise ValueError(
                    f"ModalityHub: num_extras={self.num_extras}, got {len(given)} {name}"
                )
        if not self.scores:
            return list(extras), extras[0]
        scored = [x + convolve(score, x).sigmoid() * x for score, x in zip(self.scores, extras)]
        if exists is None:
            return scored, torch.stack(scored).amax(dim=0)
        there = torch.stack([e.view(-1, 1, 1, 1) for e in exists])
        lowest = torch.finfo(scored[0].dtype).min
        merged = torch.where(there, torch.stack(scored), lowest).amax(dim=0)
        return scored, torch.where(there.any(dim=0), merged, 0)

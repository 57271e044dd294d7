"""Fusion of two aligned maps, seen from above or in the image: every cell is a pair of tokens.

An adapter: it brings both maps to one width, lays their cells side by side as two streams of
tokens and leaves the rest to a fusion operator. It takes the call of BEVFusion's ``ConvFuser``, so
it can stand there.

Shapes: maps ``(B, C, H, W)``; masks ``(B,)`` per sample or ``(B, H, W)`` per cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from gemini_det3d.fusion import StreamBlend
from gemini_det3d.fusion.base import check_many
from gemini_det3d.geometry import send
from gemini_det3d.models.operators import build_operator
from gemini_det3d.registration import register

_RETURNS = ("fused", "both")


@register(MODELS)
class MapFusionNeck(nn.Module):
    """Two maps in; one fused map, or both, out.

    Args:
        in_channels: Channels of the two maps, camera first.
        out_channels: Channels of both streams in the operator, and of the output. A map that has
            another number is projected, cell by cell.
        operator: Config of the operator, any that is registered; ``dim`` is set to
            ``out_channels``. None: GeminiFusion.
        returns: 'fused': the blend of both streams. 'both': the list of both fused maps.

    Raises:
        ValueError: Arguments that do not fit each other; the message names them.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        operator: Mapping[str, Any] | None = None,
        returns: str = "fused",
    ) -> None:
        super().__init__()
        if isinstance(in_channels, int) or len(in_channels) != 2:
            raise ValueError(f"in_channels must name the channels of two maps, got {in_channels}")
        if returns not in _RETURNS:
            raise ValueError(f"returns must be one of {_RETURNS}, got {returns!r}")
        self.in_channels, self.out_channels = tuple(in_channels), out_channels
        self.returns = returns
        self.projections = nn.ModuleList(
            nn.Identity() if channels == out_channels else nn.Linear(channels, out_channels)
            for channels in in_channels
        )
        self.operator = build_operator(operator, out_channels)
        if returns == "fused":
            self.blend = StreamBlend()

    def forward(
        self, inputs: Sequence[Tensor], exists: Sequence[Tensor | None] | None = None
    ) -> Tensor | list[Tensor]:
        """Fuse two maps of the same grid.

        Args:
            inputs: The maps ``(B, C1, H, W)`` and ``(B, C2, H, W)``.
            exists: Bool per map, ``(B,)`` or ``(B, H, W)``: where it is real. What is not real is
                not read, NaN included; where only one map is real, it stays as it is. None: all.

        Returns:
            ``(B, out_channels, H, W)``, zeros where no map is real; or the list of both maps,
            each zero where it is not real.

        Raises:
            TypeError: A map or mask is no tensor; the message names it.
            ValueError: The maps or the masks do not fit each other.
        """
        self._check(inputs)
        if exists is not None:
            check_many("MapFusionNeck", exists, "exists", with_none=True)
            if len(exists) != 2:
                raise ValueError(f"MapFusionNeck: exists must be of two maps, got {len(exists)}")
        given = (None, None) if exists is None else exists
        masks = [_cells(mask, inputs[0]) for mask in given]
        first, second = (
            project(_tokens(feature_map, mask))
            for project, feature_map, mask in zip(self.projections, inputs, masks)
        )
        # The projection's bias makes something of what is hidden; what is not real stays unread.
        streams = (first, second, _both(*masks))
        bias = self.operator.doubt_bias(*streams) if self.returns == "fused" else None
        first, second = self.operator(*streams)
        grid = inputs[0].shape[-2:]
        if self.returns == "fused":
            return _map(self.blend(first, second, *masks, bias=bias), grid)
        return [_map(_hidden(stream, mask), grid) for stream, mask in zip((first, second), masks)]

    def _check(self, inputs: Sequence[Tensor]) -> None:
        check_many("MapFusionNeck", inputs, "inputs")
        if len(inputs) != 2:
            raise ValueError(f"MapFusionNeck fuses two maps, got {len(inputs)}")
        shapes = [tuple(feature_map.shape) for feature_map in inputs]
        channels = tuple(shape[1] for shape in shapes)
        if channels != self.in_channels:
            raise ValueError(f"in_channels is {self.in_channels}, the maps have {channels}")
        if shapes[0][0] != shapes[1][0] or shapes[0][2:] != shapes[1][2:]:
            raise ValueError(
                f"both maps must have one batch size and one grid, got {shapes[0]} and {shapes[1]}"
            )

    def extra_repr(self) -> str:
        """Show the options in the printed model."""
        return f"in_channels={self.in_channels}, returns={self.returns!r}"


def _cells(mask: Tensor | None, feature_map: Tensor) -> Tensor | None:
    """A mask as ``(B, H * W)``."""
    if mask is None:
        return None
    batch, height, width = feature_map.shape[0], *feature_map.shape[-2:]
    if mask.dtype != torch.bool or tuple(mask.shape) not in ((batch,), (batch, height, width)):
        raise ValueError(
            f"a mask must be bool of shape {(batch,)} or {(batch, height, width)}, "
            f"got {mask.dtype} of {tuple(mask.shape)}"
        )
    mask = send(mask, feature_map.device)
    return (
        (mask[:, None, None] if mask.dim() == 1 else mask).expand(batch, height, width).flatten(1)
    )


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _tokens(feature_map: Tensor, mask: Tensor | None) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C), hidden where not real."""
    return _hidden(feature_map.flatten(2).transpose(1, 2), mask)


def _hidden(tokens: Tensor, mask: Tensor | None) -> Tensor:
    # zeros, because a NaN would reach the gradients of the weights as 0 * NaN
    return tokens if mask is None else torch.where(mask[..., None], tokens, 0)


def _map(tokens: Tensor, grid: torch.Size) -> Tensor:
    """(B, H * W, C) -> (B, C, H, W)."""
    return tokens.transpose(1, 2).unflatten(2, grid)

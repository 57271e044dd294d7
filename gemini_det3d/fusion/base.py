"""What every fusion operator shares: one call, one rule for `valid`, early errors.

Shape shorthand: `...` any leading axes (they say which tokens belong together only where an
operator mixes tokens), C channels. Token n of `first` is aligned with token n of `second`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = [
    "FusionOperator",
    "broadcast_valid",
    "check_heads",
    "check_streams",
    "hide",
    "keep_own",
]


class FusionOperator(nn.Module):
    """Base of the operators: two aligned streams in, two streams of the same shape out.

    Subclasses write `fuse`; they get checked streams of one shape and dtype and a mask of the
    leading shape. The rule of `valid` is theirs to keep, because only they know what they mix.

    Args:
        dim: Channels C of both streams.

    Raises:
        ValueError: `dim` is no positive integer.

    Attributes:
        mixes_tokens: Whether a token reads others than its twin. The caller of such an operator
            must keep samples apart, as token sets (see `CrossAttentionFusion`) or call by call.
    """

    mixes_tokens = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        if not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
            raise ValueError(f"{type(self).__name__}: dim must be a positive integer, got {dim!r}")
        self.dim = dim
        self._losses: dict[str, Tensor] = {}

    def forward(
        self, first: Tensor, second: Tensor, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Let the two streams read each other.

        Args:
            first: (..., C).
            second: (..., C), same shape as `first`.
            valid: Bool, broadcastable to (...). Where False, the token of both streams keeps its
                own value exactly and reads nothing of the other stream, NaN included. None means
                that every token has its twin.

        Returns:
            The fused streams, each (..., C).

        Raises:
            ValueError: Shapes differ, the last axis is not `dim`, or `valid` is not a mask that
                fits the leading axes.
        """
        check_streams(first, second, self.dim, type(self).__name__)
        if first.dtype != second.dtype:
            dtype = torch.promote_types(first.dtype, second.dtype)
            first, second = first.to(dtype), second.to(dtype)
        if valid is not None:
            valid = broadcast_valid(valid, first.shape[:-1])
        return self.fuse(first, second, valid)

    def fuse(self, first: Tensor, second: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Fuse checked streams (..., C) under the mask `valid` (...) or None."""
        raise NotImplementedError

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Take the losses of the latest training forward, by name; most operators have none.

        A detector adds them to its loss dict. They are handed out once, so that no graph is kept
        alive: a second call returns an empty dict.
        """
        losses, self._losses = self._losses, {}
        return losses

    def extra_repr(self) -> str:
        """Show the channels in the printed model."""
        return f"dim={self.dim}"


def check_heads(dim: int, num_heads: int, owner: str) -> None:
    """Raise ValueError unless `num_heads` is a positive integer that divides `dim`."""
    if not isinstance(num_heads, int) or isinstance(num_heads, bool) or num_heads < 1:
        raise ValueError(f"{owner}: num_heads must be a positive integer, got {num_heads!r}")
    if dim % num_heads:
        raise ValueError(f"{owner}: num_heads={num_heads} must divide dim={dim}")


def check_streams(first: Tensor, second: Tensor, dim: int, owner: str) -> None:
    """Raise ValueError unless both streams are (..., dim) tensors of one shape."""
    if first.shape != second.shape:
        raise ValueError(
            f"{owner}: both streams must have one shape, got first {tuple(first.shape)} and "
            f"second {tuple(second.shape)}"
        )
    if first.dim() < 1 or first.shape[-1] != dim:
        raise ValueError(
            f"{owner}: the last axis must be dim={dim} channels, got {tuple(first.shape)}"
        )


def broadcast_valid(valid: Tensor, leading: torch.Size) -> Tensor:
    """Expand the mask to the leading axes of the streams.

    Raises:
        ValueError: Not bool, or not broadcastable to `leading`.
    """
    if valid.dtype != torch.bool:
        raise ValueError(f"valid: must be a bool mask, got {valid.dtype}")
    try:
        return valid.expand(leading)
    except RuntimeError:
        raise ValueError(
            f"valid: shape {tuple(valid.shape)} does not fit the leading axes {tuple(leading)}"
        ) from None


def keep_own(valid: Tensor | None, fused: Tensor, own: Tensor) -> Tensor:
    """Take `fused` (..., C) where `valid` (...), else `own` bit by bit."""
    return fused if valid is None else torch.where(valid[..., None], fused, own)


def hide(stream: Tensor, valid: Tensor | None) -> Tensor:
    """Zeros where not valid, so that neither values nor gradients there can spread."""
    return stream if valid is None else torch.where(valid[..., None], stream, 0)

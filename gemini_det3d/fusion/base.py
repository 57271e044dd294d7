"""What every fusion operator shares: one call, one rule for `valid`, early errors.

Shape shorthand: `...` any leading axes (they say which tokens belong together only where an
operator mixes tokens), C channels. Token n of `first` is aligned with token n of `second`.
"""

from __future__ import annotations

from operator import index
from typing import Any, NamedTuple, SupportsIndex

import torch
from torch import Tensor, nn

from .dtypes import autocast_that_works, computing_dtype

__all__ = [
    "Counts",
    "Doubts",
    "FusionOperator",
    "broadcast_valid",
    "check_heads",
    "check_integer",
    "check_many",
    "check_streams",
    "check_tensors",
    "hide",
    "is_in_backward",
    "keep_own",
]

Counts = tuple[int, ...] | None


class Doubts(NamedTuple):
    """What an operator thought of its streams in a training forward (see `reliability`).

    Attributes:
        first: Logits (...).
        second: Logits (...).
        valid: Bool (...), tokens of which both streams are real; None: all.
        counts: As of `FusionOperator.forward`.
        weight: Of the loss.
    """

    first: Tensor
    second: Tensor
    valid: Tensor | None
    counts: Counts
    weight: float


class FusionOperator(nn.Module):
    """Base of the operators: two aligned streams in, two streams of the same shape out.

    Subclasses write `fuse`; they get checked streams of one shape and dtype and a mask of the
    leading shape. The rule of `valid` is theirs to keep, because only they know what they mix.

    Args:
        dim: Channels C of both streams.
        num_heads: Of an operator with heads; taken by all, so that they are swapped by one word.

    Raises:
        ValueError: `dim` is no positive integer.

    Attributes:
        mixes_tokens: Whether a token reads others than its twin. The caller of such an operator
            must keep samples apart, as token sets (see `CrossAttentionFusion`) or call by call.
        reads_samples: Whether `fuse` takes `counts` behind the mask.
        takes_any_dtype: Whether `fuse` takes parameters of another dtype than the streams'.
    """

    mixes_tokens = False
    reads_samples = False
    takes_any_dtype = False

    def __init__(self, dim: int, num_heads: int = 8) -> None:
        super().__init__()
        del num_heads
        self.dim = check_integer(dim, 1, "dim", type(self).__name__)
        self._losses: dict[str, Tensor] = {}
        self._doubts: Doubts | None = None

    def forward(
        self, first: Tensor, second: Tensor, valid: Tensor | None = None, counts: Counts = None
    ) -> tuple[Tensor, Tensor]:
        """Let the two streams read each other.

        Args:
            first: (..., C).
            second: (..., C), same shape as `first`.
            valid: Bool, broadcastable to (...). Where False, the token of both streams keeps its
                own value exactly and reads nothing of the other stream, NaN included. None means
                that every token has its twin.
            counts: Tokens of each sample, for a caller that lays the samples' tokens behind each
                other in one axis; () where no sample has both sensors. None: the first axis is
                that of the samples. An operator that judges tokens one by one takes no notice.

        Returns:
            The fused streams, each (..., C), in the wider dtype of the two, under autocast too.

        Raises:
            TypeError: An argument is no tensor; the message names it.
            ValueError: Shapes differ, the last axis is not `dim`, a stream is not floating point
                or sparse, or `valid` is not a mask that fits the leading axes; or streams are wider
                than the parameters of an operator that computes in theirs, which under autocast
                holds for float64 alone.
        """
        first, second, valid = self.checked(first, second, valid)
        if self._losses or self._doubts:  # nobody took them, and they hold a graph
            self._losses, self._doubts = {}, None
        if self.reads_samples:
            with autocast_that_works(self, first):
                return self.fuse(first, second, valid, counts)  # type: ignore[call-arg]
        dtype = first.dtype
        if not self.takes_any_dtype:
            wide = computing_dtype(self, first)
            first, second = first.to(wide), second.to(wide)
        # autocast's products are narrower, and masks would decide whether they stay so
        fused_first, fused_second = self.fuse(first, second, valid)
        return fused_first.to(dtype), fused_second.to(dtype)

    def checked(
        self, first: Tensor, second: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Streams in the wider dtype of the two, the mask as (...); errors as of `forward`."""
        check_streams(first, second, self.dim, type(self).__name__)
        if first.dtype != second.dtype:
            dtype = torch.promote_types(first.dtype, second.dtype)
            first, second = first.to(dtype), second.to(dtype)
        if valid is not None:
            valid = broadcast_valid(valid, first.shape[:-1])
        return first, second, valid

    def fuse(self, first: Tensor, second: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Fuse checked streams (..., C) under the mask `valid` (...) or None."""
        raise NotImplementedError

    def doubt_bias(
        self, first: Tensor, second: Tensor, valid: Tensor | None = None, counts: Counts = None
    ) -> Tensor | None:
        """What doubts of the streams (..., C) add to a choice of the second over the first: (...).

        Arguments as in `forward`. None: the operator doubts nothing. For adapters that choose
        between the streams themselves.
        """
        del first, second, valid, counts
        return None

    def take_doubts(self) -> Doubts | None:
        """Take what the latest training forward doubted; once, as `auxiliary_losses`."""
        doubts, self._doubts = self._doubts, None
        return doubts

    def keep_doubts(self, doubts: Doubts) -> None:
        """Hold the logits of a training forward until they are taken, as `keep_losses`."""
        if not is_in_backward():
            self._doubts = doubts

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Take the losses of the latest training forward, by name; most operators have none.

        A detector adds them to its loss dict. They are handed out once, so that no graph is kept
        alive: a second call returns an empty dict. Copies and pickles hold none.

        Raises:
            RuntimeError: They were computed without gradients and would train nothing, as the
                first pass of ``checkpoint(..., use_reentrant=True)`` does.
        """
        losses, self._losses = self._losses, {}
        is_trained = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        if is_trained and not all(loss.requires_grad for loss in losses.values()):
            raise RuntimeError(
                f"{type(self).__name__}: {', '.join(losses)} was computed without gradients and "
                "would train nothing; a checkpointed block needs use_reentrant=False"
            )
        return losses

    def keep_losses(self, losses: dict[str, Tensor]) -> None:
        """Hold the losses of a training forward until they are taken.

        Those of a forward that a backward repeats (gradient checkpoints) are not held: the loss of
        that step has been summed before.
        """
        if not is_in_backward():
            self._losses = losses

    def __getstate__(self) -> dict:
        """Everything but losses and doubts, whose graph can be neither copied nor pickled."""
        return {**self.__dict__, "_losses": {}, "_doubts": None}

    def extra_repr(self) -> str:
        """Show the channels in the printed model."""
        return f"dim={self.dim}"


def check_integer(value: SupportsIndex, least: int, key: str, owner: str) -> int:
    """The value as a Python integer, whichever library's integer it is.

    Raises:
        ValueError: It is no integer or below `least`; the message names the key.
    """
    try:
        number = least - 1 if isinstance(value, bool) else index(value)
    except TypeError:
        number = least - 1
    if number < least:
        kind = "a positive integer" if least == 1 else f"an integer of {least} or more"
        raise ValueError(f"{owner}: {key} must be {kind}, got {value!r}")
    return number


def check_heads(dim: int, num_heads: SupportsIndex, owner: str) -> int:
    """The heads as an integer; ValueError unless they are positive and divide `dim`."""
    heads = check_integer(num_heads, 1, "num_heads", owner)
    if dim % heads:
        raise ValueError(f"{owner}: num_heads={heads} must divide dim={dim}")
    return heads


def check_tensors(owner: str, **given: Any) -> None:
    """Raise TypeError that names the first argument that is no tensor, and what it is."""
    for name, value in given.items():
        if not isinstance(value, Tensor):
            kind = "None" if value is None else type(value).__name__
            hint = "" if value is None else "; torch.as_tensor makes one of numbers"
            raise TypeError(f"{owner}: {name} must be a torch.Tensor, got {kind}{hint}")


def check_many(owner: str, streams: Any, name: str = "streams", with_none: bool = False) -> None:
    """Raise TypeError unless it is a sequence of tensors; the message names the one that is not."""
    if not hasattr(streams, "__len__"):
        kind = type(streams).__name__
        raise TypeError(f"{owner}: {name} must be a sequence of torch.Tensor, got {kind}")
    for number, stream in enumerate(streams):
        if not isinstance(stream, Tensor) and not (with_none and stream is None):
            check_tensors(owner, **{f"{name}[{number}]": stream})


def check_streams(first: Tensor, second: Tensor, dim: int, owner: str) -> None:
    """Refuse what are not two (..., dim) floating point tensors of one shape.

    Raises:
        TypeError: One is no tensor.
        ValueError: Shape or dtype do not fit.
    """
    if not (isinstance(first, Tensor) and isinstance(second, Tensor)):
        check_tensors(owner, first=first, second=second)
    if first.shape != second.shape:
        raise ValueError(
            f"{owner}: both streams must have one shape, got first {tuple(first.shape)} and "
            f"second {tuple(second.shape)}"
        )
    if not first.is_floating_point() or not second.is_floating_point():
        raise ValueError(
            f"{owner}: both streams must be floating point, got {first.dtype} and {second.dtype}"
        )
    if first.layout != torch.strided or second.layout != torch.strided:
        raise ValueError(f"{owner}: a stream is sparse; .to_dense() makes it one that is not")
    if first.dim() < 1 or first.shape[-1] != dim:
        raise ValueError(
            f"{owner}: the last axis must be dim={dim} channels, got {tuple(first.shape)}"
        )


def broadcast_valid(valid: Tensor, leading: torch.Size) -> Tensor:
    """Expand the mask to the leading axes of the streams.

    Raises:
        TypeError: No tensor.
        ValueError: Not bool, or not broadcastable to `leading`.
    """
    if not isinstance(valid, Tensor):
        raise TypeError(f"valid: must be a bool mask, a torch.Tensor, got {type(valid).__name__}")
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


def is_in_backward() -> bool:
    """Whether a backward repeats this forward."""
    if getattr(torch.compiler, "is_compiling", bool)():  # a compiler traces forwards
        return False
    task = getattr(torch._C, "_current_graph_task_id", None)
    return task is not None and task() != -1

"""What a form of the operator is chosen by: a few facts of a call."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..functional import FusionParameters
from .precision import product_dtype
from .torch_versions import (
    is_compiling,
    is_exporting,
    is_transforming,
    leaves_torch,
    needs_backward,
)


class Call(NamedTuple):
    """What a form is chosen by.

    Attributes:
        device: Kind of the streams' device.
        index: Its number among those of its kind.
        dtype: Of the streams.
        product_dtype: Of the matrix products.
        num_tokens: N, all leading axes together; may be unknown to a compiler.
        channels: C.
        depth: Channels of a head.
        is_complete: Whether the operator has noise and discriminator.
        needs_backward: Whether autograd is recording.
        is_compiling: Whether `torch.compile` is tracing.
        leaves_torch: Whether the program is written down for a process without this package: ONNX,
            TorchScript, and `torch.export` unless a form was asked for.
        is_transformed: Whether `torch.func` or forward-mode differentiation is at work.
        asked: What bounds memory and was asked for: names of arguments of `GeminiFusion`.
    """

    device: str
    index: int | None
    dtype: torch.dtype
    product_dtype: torch.dtype
    num_tokens: int
    channels: int
    depth: int
    is_complete: bool
    needs_backward: bool
    is_compiling: bool
    leaves_torch: bool
    is_transformed: bool
    asked: tuple[str, ...]


def describe(
    backend: str,
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    with_recompute: bool,
    block_tokens: int,
    bias: Tensor | None,
) -> Call:
    """The facts of a call of `choice.run`; arguments as there."""
    asked = ("with_recompute",) if with_recompute else ()
    asked = (*asked, "block_tokens") if block_tokens else asked
    channels = first.shape[-1]
    return Call(
        device=first.device.type,
        index=first.device.index,
        dtype=first.dtype,
        product_dtype=product_dtype(first),
        num_tokens=first.numel() // channels,
        channels=channels,
        depth=channels // num_heads,
        is_complete=not any(tensor is None for tensor in parameters),
        needs_backward=needs_backward(first, second, *parameters, bias),
        is_compiling=is_compiling(),
        leaves_torch=leaves_torch() or (backend == "auto" and is_exporting()),
        is_transformed=is_transforming(),
        asked=asked,
    )

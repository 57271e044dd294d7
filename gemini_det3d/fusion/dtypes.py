"""In which dtype an operator computes streams of another than its parameters'."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

__all__ = ["autocast_that_works", "beside_autocast", "computing_dtype"]


def computing_dtype(operator: nn.Module, stream: Tensor) -> torch.dtype:
    """What a stream (..., C) is to be given to an operator in, whose parameters have one dtype.

    Where autocast is on and neither is float64, it sees to it: `beside_autocast`. Else the
    parameters', if they are no narrower; its own where there are none.

    Raises:
        ValueError: They are not.
    """
    from .kernels.torch_versions import autocast_dtype

    weight = next(operator.parameters(), stream)
    lowered = autocast_dtype(stream.device.type)
    if lowered is not None and torch.float64 not in (weight.dtype, stream.dtype):
        return beside_autocast(stream.dtype, lowered)
    wide = torch.promote_types(stream.dtype, weight.dtype)
    if wide != weight.dtype:
        raise ValueError(
            f"{type(operator).__name__}: the streams are {stream.dtype}, the parameters "
            f"{weight.dtype}; convert the operator, .to({wide})"
        )
    return wide


def beside_autocast(dtype: torch.dtype, lowered: torch.dtype) -> torch.dtype:
    """The dtype itself, or float32 for the half that autocast refuses beside its own, `lowered`."""
    is_other = dtype in (torch.float16, torch.bfloat16) and dtype != lowered
    return torch.float32 if is_other else dtype


def autocast_that_works(operator: nn.Module, stream: Tensor) -> AbstractContextManager:
    """Autocast off within where stream or parameters are float64, which it leaves as they are."""
    from .kernels.torch_versions import autocast_dtype, without_autocast

    if autocast_dtype(stream.device.type) is None:  # asked first: it is quick
        return nullcontext()
    weight = next(operator.parameters(), stream)
    is_double = torch.float64 in (weight.dtype, stream.dtype)
    return without_autocast(stream.device.type) if is_double else nullcontext()

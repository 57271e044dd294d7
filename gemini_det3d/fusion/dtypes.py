"""In which dtype an operator computes streams of another than its parameters'."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["autocast_would_fail", "computing_dtype"]


def computing_dtype(operator: nn.Module, stream: Tensor) -> torch.dtype:
    """What a stream (..., C) is to be given to an operator in, whose parameters have one dtype.

    Its own where that is the parameters', where there are none, or where autocast sees to it, which
    it does not for float64; else the parameters', if they are wider.

    Raises:
        ValueError: They are not.
    """
    weight = next(operator.parameters(), stream)
    if weight.dtype == stream.dtype:
        return stream.dtype
    from .kernels.torch_versions import autocast_dtype

    is_double = torch.float64 in (weight.dtype, stream.dtype)
    if not is_double and autocast_dtype(stream.device.type) is not None:
        return stream.dtype
    wide = torch.promote_types(stream.dtype, weight.dtype)
    if wide != weight.dtype:
        raise ValueError(
            f"{type(operator).__name__}: the streams are {stream.dtype}, the parameters "
            f"{weight.dtype}; convert the operator, .to({wide})"
        )
    return wide


def autocast_would_fail(operator: nn.Module, stream: Tensor) -> bool:
    """Whether autocast is on but leaves the stream or the parameters as they are, float64."""
    from .kernels.torch_versions import autocast_dtype

    if autocast_dtype(stream.device.type) is None:
        return False
    weight = next(operator.parameters(), stream)
    return torch.float64 in (weight.dtype, stream.dtype)

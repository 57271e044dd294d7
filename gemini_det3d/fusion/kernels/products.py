"""Matrix products that may run in a lower dtype than the tensors they read and write."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["accumulate", "product"]


def product(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """Set out = left @ right, with or without a leading batch axis.

    Runs in the dtype of `out`, or in that of a factor which is lower: weights come already
    lowered, activations are lowered here.
    """
    multiply = torch.bmm if out.dim() == 3 else torch.mm
    if left.dtype == right.dtype == out.dtype:
        return multiply(left, right, out=out)
    dtype = _lower(left, right, out)
    return out.copy_(multiply(left.to(dtype), right.to(dtype)))


def accumulate(
    out: Tensor, left: Tensor, right: Tensor, dtype: torch.dtype, alpha: float = 1.0
) -> Tensor:
    """Add alpha * left @ right to out, with or without a leading batch axis, in `dtype`."""
    if left.dtype == right.dtype == out.dtype == dtype:
        add = torch.baddbmm if out.dim() == 3 else torch.addmm  # in place, and counted as products
        return add(out, left, right, alpha=alpha, out=out)
    multiply = torch.bmm if out.dim() == 3 else torch.mm
    return out.add_(multiply(left.to(dtype), right.to(dtype)), alpha=alpha)


def _lower(left: Tensor, right: Tensor, out: Tensor) -> torch.dtype:
    return left.dtype if left.dtype != out.dtype else right.dtype

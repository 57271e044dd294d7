"""Matrix products that round alike at every place, for claims that a BLAS cannot keep.

A BLAS multiplies the last rows of a block by another kernel than the others, and which rows those
are depends on the processor and on the number of threads (6 rows a block with AVX2, for example).
Here every element is the sum of its products in one order, so that whatever still depends on a
token's place is the operator's own doing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def use_even_products(monkeypatch) -> list[str]:
    """Replace torch's products in all forms; the list returned fills with the names called."""
    called: list[str] = []

    def named(name, function):
        def call(*arguments, **options):
            called.append(name)
            return function(*arguments, **options)

        return call

    for owner, name, function in (
        (torch, "mm", _multiply),
        (torch, "bmm", _multiply),
        (torch, "addmm", _add_multiply),
        (torch, "baddbmm", _add_multiply),
        (F, "linear", _linear),
    ):
        monkeypatch.setattr(owner, name, named(name, function))
    return called


def _multiply(left: Tensor, right: Tensor, *, out: Tensor | None = None) -> Tensor:
    """(..., N, K) @ (..., K, M), one step of K after the other."""
    result = left.new_zeros(*left.shape[:-1], right.shape[-1])
    for column, row in zip(left.unbind(-1), right.unbind(-2)):
        result += column[..., None] * row[..., None, :]  # rounds the product, then the sum
    return result if out is None else out.copy_(result)


def _add_multiply(
    bias: Tensor, left: Tensor, right: Tensor, *, alpha: float = 1.0, out: Tensor | None = None
) -> Tensor:
    result = bias + _multiply(left, right) * alpha
    return result if out is None else out.copy_(result)


def _linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    result = _multiply(tokens, weight.t())
    return result if bias is None else result + bias

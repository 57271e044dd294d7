"""Backward calls of ops whose forward is differentiable torch: run it again and pull back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def pulled_back(
    form: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor
) -> tuple[Tensor, ...]:
    """Gradient of each input, zeros where the form does not read it.

    Args:
        form: Differentiable function of the inputs.
        inputs: Where to take the gradient.
        grad_output: Gradient of the form's value, in its shape.
    """
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        found = torch.autograd.grad(form(*leaves), leaves, grad_output, allow_unused=True)
    return tuple(
        torch.zeros_like(leaf) if grad is None else grad for grad, leaf in zip(found, leaves)
    )

"""Parameters that a batch does not reach still get a gradient, of zero."""

from __future__ import annotations

from torch import Tensor, nn


def keep_in_graph(*modules: nn.Module | None) -> Tensor | float:
    """A zero that depends on every trainable parameter of the modules.

    Added to an output, it keeps distributed training from waiting for the gradients of a branch
    that this process has no data for. None stands for a part that the model lacks.
    """
    there = (module for module in modules if module is not None)
    return sum(
        (0 * p.sum() for module in there for p in module.parameters() if p.requires_grad), 0.0
    )

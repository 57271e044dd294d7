"""Which of two forms of an op a tensor takes."""

from __future__ import annotations

from torch import Tensor


def takes_torch(tensor: Tensor) -> bool:
    """Whether torch operations do the work: on a GPU; a CPU runs loops that numba has compiled."""
    return tensor.device.type != "cpu"

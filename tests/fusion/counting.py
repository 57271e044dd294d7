"""What a call costs beside time: multiply-adds, and bytes kept for the backward."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode


def count_multiply_adds(call) -> float:
    """Of all matrix products that PyTorch sees."""
    counter = FlopCounterMode(display=False)
    with counter:
        call()
    return counter.get_total_flops() / 2


def count_saved_bytes(operator, streams) -> int:
    """Bytes autograd keeps for the backward, every storage once."""
    storages, alive = {}, []

    def pack(tensor):
        alive.append(tensor)  # a freed storage may come back under the same address
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        operator(*streams)
    return sum(storages.values())

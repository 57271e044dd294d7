"""Parameters that a batch does not reach still get a gradient, of zero."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor, nn

_SYNCED = ("SyncBatchNorm", "NaiveSyncBatchNorm1d", "NaiveSyncBatchNorm2d", "NaiveSyncBatchNorm3d")


def keep_in_graph(*modules: nn.Module | None) -> Tensor | float:
    """A zero that depends on every trainable parameter of the modules.

    Added to an output, it keeps distributed training from waiting for the gradients of a branch
    that this process has no data for. None stands for a part that the model lacks.

    Raises:
        RuntimeError: A norm of the branch takes statistics over all processes: those that have
            data for it would wait for this one, which passes it by.
    """
    there = [module for module in modules if module is not None]
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        _refuse_synced(there)
    return sum(
        (0 * p.sum() for module in there for p in module.parameters() if p.requires_grad), 0.0
    )


def _refuse_synced(modules: list[nn.Module]) -> None:
    for module in modules:
        for name, part in module.named_modules():
            if part.training and type(part).__name__ in _SYNCED:
                raise RuntimeError(
                    f"no sample of this process has the sensor of {type(module).__name__}, whose "
                    f"{name or 'norm'} ({type(part).__name__}) takes statistics over all "
                    "processes: they would wait for ever; train without sync_bn, or with every "
                    "sensor in every batch"
                )

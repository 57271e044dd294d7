"""Models without what mmengine puts around them for several processes."""

from __future__ import annotations

from mmengine.model import is_model_wrapper
from torch import nn


def bare_model(model: nn.Module) -> nn.Module:
    """The model itself, wrapped (``DistributedDataParallel``, ...) or not."""
    return model.module if is_model_wrapper(model) else model

"""Several processes with the same buffers wherever these are used or stored.

Each process of a training normalises by its own frames, so running statistics drift apart, while
only the first one's are stored and each tests with its own.
"""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, broadcast, get_world_size
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import Tensor, nn

from gemini_det3d.models.bare import bare_model


def average_buffers(runner: Runner) -> None:
    """Give all processes the mean of their floating buffers, and the first one's other buffers.

    The model's and those of `EMAHook`'s copy. All processes must call it; alone it does nothing.
    What is equal already stays as it is, bit by bit.
    """
    if get_world_size() == 1:
        return
    _average(bare_model(runner.model))
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            _average(hook.ema_model)


@torch.no_grad()
def _average(model: nn.Module) -> None:
    floating: list[Tensor] = []
    for buffer in model.buffers():
        if buffer.is_floating_point():
            floating.append(buffer)
        else:
            broadcast(buffer, 0)
    if not floating:
        return
    # In float64 the sum of equal float32 values is exact, and so is the mean.
    means = torch.cat([buffer.double().flatten() for buffer in floating])
    all_reduce(means, "mean")
    for buffer, mean in zip(floating, means.split([buffer.numel() for buffer in floating])):
        buffer.copy_(mean.view_as(buffer))

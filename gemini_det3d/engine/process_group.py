"""Several processes on a machine without CUDA.

mmengine's ``pytorch`` launcher calls ``torch.cuda.set_device`` and dies without CUDA, but respects
a process group that exists already. The plug-in makes one (gloo) when torchrun started the process
and no CUDA device is there.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist


def join_cpu_group() -> bool:
    """Join torchrun's processes over gloo where mmengine could not.

    Returns:
        Whether a group was made.
    """
    started_by_torchrun = {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()
    if not started_by_torchrun or torch.cuda.is_available() or dist.is_initialized():
        return False
    dist.init_process_group("gloo")
    return True

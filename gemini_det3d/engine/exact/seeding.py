"""Random numbers by name instead of by history.

A framework's generators are read by whoever comes next, so what a sample or a step draws depends
on the number of workers, on what ran before, and is lost with the process. Here each draw has a
name (seed, kind, epoch, index), and the generators are set from the name just before. Nothing has
to be saved for a run to go on as if it had not been cut off.
"""

from __future__ import annotations

import os
import random
from typing import NamedTuple

import numpy as np
import torch

# Kinds of draws; the first number after the seed.
SAMPLE, STEP, ORDER, EVALUATION = range(4)


class SampleKey(NamedTuple):
    """Which sample, and in which epoch: all that its random draws depend on."""

    index: int
    seed: int
    epoch: int


def seed_process(*name: int) -> None:
    """Set Python's, numpy's and torch's generators (of all devices) from a name.

    Args:
        *name: Numbers, 0 or more: the seed, the kind of draw, and what tells it from others.
    """
    words = np.random.SeedSequence(name).generate_state(4, np.uint32)
    random.seed(words.tobytes())
    np.random.seed(words)
    torch.manual_seed(int.from_bytes(words.tobytes()[:8], "little"))


def hold_cublas_to_one_order() -> None:
    """What PyTorch's deterministic mode asks for beside it, unless the environment has its own.

    cuBLAS looks at it before a process's first product on a GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

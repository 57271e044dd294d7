"""OpenMMLab checkpoints under ``torch.load(weights_only=True)``.

From torch 2.6 on, ``torch.load`` admits plain data only, which is what one wants of a file from
somebody else. mmengine's checkpoints hold, beside tensors, the running averages of the log
(``HistoryBuffer``: numpy arrays and the names of its own methods), so without help neither
``tools/test.py`` nor ``--resume`` can read what ``tools/train.py`` wrote. The plug-in admits just
these few types, by torch's own allow-list. Loading still runs no code of the file: the one function
among them, ``getattr``, is replaced by one that looks up ``HistoryBuffer``'s statistics and nothing
else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch.torch_version import TorchVersion

# numpy's kinds of plain values: booleans, integers, floats, bytes, text; not objects.
PLAIN_KINDS = "?bBhHiIlLqQefdgSU"
# The statistics that a HistoryBuffer refers to by name.
STATISTICS = frozenset({"mean", "max", "min", "current"})


def statistic_of(owner: object, name: str) -> Callable:
    """``getattr`` for ``HistoryBuffer``'s statistics.

    Raises:
        ValueError: Anything else was asked for.
    """
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise ValueError(f"a checkpoint asks for attribute {name!r} of {owner!r}; refused")
    return getattr(HistoryBuffer, name)


def openmmlab_globals() -> list[type | tuple[Callable, str]]:
    """What OpenMMLab checkpoints refer to, for ``torch.serialization.add_safe_globals``."""
    reconstruct = np.zeros(1).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    return [
        HistoryBuffer,
        (statistic_of, "builtins.getattr"),
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in PLAIN_KINDS},
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
    ]


def admit_openmmlab_checkpoints() -> None:
    """Put them on torch's allow-list; before 2.6 ``torch.load`` admits everything by default."""
    if TorchVersion(torch.__version__) >= (2, 6):
        torch.serialization.add_safe_globals(openmmlab_globals())

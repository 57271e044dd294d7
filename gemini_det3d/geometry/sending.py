"""Numbers on their way to a device, without waiting for it.

``torch.tensor(numbers, device=...)``, ``x.new_tensor(numbers)``, ``host.to(device)`` and a list in
an index (``x[:, [0, 2]]``) copy from ordinary memory and wait until a GPU has done all that was
queued before. A small copy that is not waited for is staged by the driver at once: the host's
memory is free again when the call returns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def send(values: Any, device: torch.device | str, dtype: torch.dtype | None = None) -> Tensor:
    """A small array on a device; the host does not wait.

    Args:
        values: Numbers, an array or a tensor of the host; not changed later.
        device: Where to.
        dtype: Of the result; None: the array's own.
    """
    host = values if isinstance(values, Tensor) else torch.from_numpy(np.asarray(values))
    return host.to(device, dtype, non_blocking=True)

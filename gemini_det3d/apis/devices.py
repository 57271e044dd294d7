"""GPUs of this machine, lent to programs that each see one of them alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["DevicePool", "visible_gpus"]

_VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` takes them."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [name.strip() for name in os.environ.get(_VARIABLE, "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


class DevicePool:
    """Lends GPUs, the one that fewest programs have first; safe from several threads.

    Args:
        names: As `CUDA_VISIBLE_DEVICES` takes them; none: programs see what this process sees.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._users = dict.fromkeys(names, 0)
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[dict[str, str]]:
        """The environment of a program that gets one GPU."""
        if not self._users:
            yield {}
            return
        with self._lock:
            name = min(self._users, key=lambda name: self._users[name])
            self._users[name] += 1
        try:
            yield {_VARIABLE: name}
        finally:
            with self._lock:
                self._users[name] -= 1

"""Devices of this machine: one by its name, and GPUs lent to programs that see one alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.formats.errors import first_line

if TYPE_CHECKING:
    import torch

__all__ = ["DevicePool", "choose_device", "visible_gpus"]

_VARIABLE = "CUDA_VISIBLE_DEVICES"


def choose_device(name: str | None = None) -> torch.device:
    """The device of that name; None: CUDA where there is a device of it, else the CPU.

    A GPU named by its number becomes the process's own: kernels of mmcv and spconv, and what asks
    for a GPU's time or memory, mean that one, whatever device their tensors have.

    Raises:
        ConfigError: torch knows no such name, sees no such device, or cannot compute there.
    """
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name}: not a device of torch") from None
    if device.type == "meta":
        raise ConfigError(f"--device {name}: holds shapes and no numbers")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ConfigError(f"--device {name}: torch sees {count} CUDA devices")
        if device.index is not None:
            torch.cuda.set_device(device)
    elif device.type != "cpu":
        try:
            torch.empty(0, device=device)
        except Exception as error:  # each kind of device has its own
            fault = f"torch cannot use it here ({first_line(error)})"
            raise ConfigError(f"--device {name}: {fault}") from None
    return device


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

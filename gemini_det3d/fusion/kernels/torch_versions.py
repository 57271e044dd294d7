"""What PyTorch versions from 2.1 on name differently, under one name."""

from __future__ import annotations

import torch

try:
    from torch.fx.experimental.symbolic_shapes import statically_known_true
except ImportError:  # before PyTorch 2.5

    def statically_known_true(x: bool) -> bool:
        """Whether it is True; a compiler that does not know it must be told it is not."""
        return False


__all__ = ["autocast_dtype", "is_compiling", "is_exporting", "statically_known_true"]


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """The dtype that autocast prescribes on a kind of device; None where it is off."""
    if hasattr(torch, "get_autocast_dtype"):  # PyTorch 2.4 and later
        is_on = torch.is_autocast_enabled(device_type)
        return torch.get_autocast_dtype(device_type) if is_on else None
    if device_type == "cpu":
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def is_compiling() -> bool:
    """Whether `torch.compile` or `torch.export` is tracing."""
    return getattr(torch.compiler, "is_compiling", bool)()


def is_exporting() -> bool:
    """Whether `torch.export` is tracing; before PyTorch 2.7 it does not say so."""
    return getattr(torch.compiler, "is_exporting", bool)()

"""What PyTorch versions from 2.1 on name differently, under one name; whether Triton is there."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import torch

try:
    from torch.fx.experimental.symbolic_shapes import statically_known_true
except ImportError:  # where `traced` does not run either

    def statically_known_true(x: bool) -> bool:
        """Whether it is True, as far as is known without asking: it never is."""
        return False


__all__ = [
    "CAN_TRACE",
    "autocast_dtype",
    "has_triton",
    "is_compiling",
    "is_exporting",
    "statically_known_true",
]

# The compilers of 2.5 and 2.7 stop at what `traced` asks of them; between 2.7 and 2.13: not tried.
CAN_TRACE = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13)
_TRITON_NAMES = ("triton", "pytorch-triton", "pytorch-triton-rocm", "triton-windows")
_LEAST_TRITON = (3, 2)  # the interpreters of 3.0 and 3.1 do not run the kernels


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


def has_triton() -> bool:
    """Whether Triton is installed in a version that is known to run the kernels."""
    return any(_version(name) >= _LEAST_TRITON for name in _TRITON_NAMES)


def _version(package: str) -> tuple[int, ...]:
    """Major and minor version; () without the package."""
    try:
        return tuple(map(int, version(package).split(".")[:2]))
    except PackageNotFoundError:
        return ()

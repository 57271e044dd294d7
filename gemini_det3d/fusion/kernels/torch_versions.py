"""What PyTorch versions from 2.1 on name differently, under one name; whether Triton is there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

try:
    from torch.fx.experimental.symbolic_shapes import statically_known_true
except ImportError:  # where `traced` does not run either

    def statically_known_true(x: bool) -> bool:
        """Whether it is True, as far as is known without asking a compiler."""
        return isinstance(x, bool) and x


__all__ = [
    "CAN_TELL_EXPORTS",
    "CAN_TRACE",
    "HAS_CUSTOM_OPERATORS",
    "INTERPRETS_TRITON",
    "autocast_dtype",
    "constant_to_compilers",
    "has_triton",
    "found_once",
    "holds",
    "is_compiling",
    "is_exporting",
    "is_transforming",
    "leaves_torch",
    "needs_backward",
    "statically_known_true",
    "without_autocast",
]

# The compilers of 2.5 and 2.7 stop at what `traced` asks of them; between 2.7 and 2.13: not tried.
CAN_TRACE = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13)
_FUNCTORCH = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
_KNOWS_DEPTH = hasattr(_FUNCTORCH, "get_dynamic_layer_stack_depth")  # not in PyTorch 2.1
CAN_TELL_EXPORTS = hasattr(torch.compiler, "is_exporting")  # PyTorch 2.7 and later
HAS_CUSTOM_OPERATORS = hasattr(torch.library, "custom_op")  # PyTorch 2.4 and later
INTERPRETS_TRITON = os.environ.get("TRITON_INTERPRET") == "1"  # its kernels then run on a CPU
_TRITON_NAMES = ("triton", "pytorch-triton", "pytorch-triton-rocm", "triton-windows")
_LEAST_TRITON = (3, 2)  # the interpreters of 3.0 and 3.1 do not run the kernels


def constant_to_compilers(function: Callable) -> Callable:
    """`torch.compiler.assume_constant_result`, which loads the compiler at once."""
    setattr(function, "_dynamo_marked_constant", True)  # noqa: B010
    return function


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """The dtype that autocast prescribes on a kind of device; None where it is off."""
    if device_type == "meta":  # where it cannot even be asked for
        return None
    if hasattr(torch, "get_autocast_dtype"):  # PyTorch 2.4 and later
        is_on = torch.is_autocast_enabled(device_type)
        return torch.get_autocast_dtype(device_type) if is_on else None
    if device_type == "cpu":
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def without_autocast(device_type: str) -> AbstractContextManager:
    """Autocast off within."""
    if autocast_dtype(device_type) is None:
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


def is_compiling() -> bool:
    """Whether `torch.compile` or `torch.export` is tracing."""
    return getattr(torch.compiler, "is_compiling", bool)()


def is_exporting() -> bool:
    """Whether `torch.export` is tracing, as far as PyTorch tells."""
    return getattr(torch.compiler, "is_exporting", bool)()


def leaves_torch() -> bool:
    """Whether the program is written down for a runtime that has no custom operators."""
    return (
        torch.onnx.is_in_onnx_export()
        or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        or torch.jit.is_scripting()  # pyright: ignore[reportPrivateImportUsage]
    )


@constant_to_compilers  # not every compiler knows what is asked here
def is_transforming() -> bool:
    """Whether a transform of `torch.func` or forward-mode differentiation is at work."""
    if not _KNOWS_DEPTH:
        stack = torch._C._functorch.peek_interpreter_stack()  # pyright: ignore
        return stack is not None or forward_ad._current_level >= 0
    depth = torch._C._functorch.get_dynamic_layer_stack_depth()  # pyright: ignore
    return depth > 0 or forward_ad._current_level >= 0


def needs_backward(*tensors: Tensor | None) -> bool:
    """Whether autograd records what becomes of any of the tensors."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def has_triton() -> bool:
    """Whether Triton is installed in a version that is known to run the kernels."""
    return any(_version(name) >= _LEAST_TRITON for name in _TRITON_NAMES)


def found_once(known: dict[Any, bool], key: Any, trial: Callable[[], bool]) -> bool:
    """The answer of a trial on a GPU, made once a key.

    True where none is known and a CUDA graph is captured: nothing may be tried then, and what is
    captured has run before.
    """
    if key not in known:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return True
        known[key] = trial()
    return known[key]


def holds(probe: Callable[[], None], complaint: str) -> bool:
    """Whether a trial of Triton's kernels ends without an error; one warning where it does not.

    Modes that watch or replace operators (fake tensors, counters) see nothing of it.

    Args:
        probe: Runs the kernels and raises where their answers are wrong.
        complaint: What is said of a trial that fails, before the error.

    Raises:
        Exception: Memory ran out, which says nothing about the kernels.
    """
    try:
        with _disable_current_modes():
            probe()
    except Exception as error:  # noqa: BLE001 (whatever a compiler or driver raises)
        line = (str(error).splitlines() or [""])[0][:100]
        if "out of memory" in line:
            raise
        warnings.warn(f"{complaint} ({type(error).__name__}: {line})", stacklevel=3)
        return False
    return True


def _version(package: str) -> tuple[int, ...]:
    """Major and minor version; () without the package."""
    try:
        return tuple(map(int, version(package).split(".")[:2]))
    except PackageNotFoundError:
        return ()

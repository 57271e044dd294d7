"""Errors of a GPU and its libraries, for which neither a config nor a file is to blame.

PyTorch raises most of them as a bare RuntimeError; only their words tell them from others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gemini_det3d.formats.errors import first_line


class DeviceError(RuntimeError):
    """A GPU's error with what to do about it, in one line; its cause has the frames."""


def _kind(module: object, name: str) -> type:
    """An error class of PyTorch's; one that is never raised where this version has none."""
    return getattr(module, name, type("Never", (Exception,), {}))


_MEMORY = "the GPU's memory is full: lower batch_size, or end what else uses it"
_FAULTS = (
    (torch.cuda.OutOfMemoryError, r"cuda.*out of memory|CUBLAS_STATUS_ALLOC_FAILED", _MEMORY),
    ((), r"use_deterministic_algorithms",
     "set randomness.deterministic=False, or leave out what it names"),
    (_kind(torch.distributed, "DistError"), r"\bNCCL\b",
     "another process or the way to it failed: what the first one to end says is the reason"),
    (_kind(torch, "AcceleratorError"),
     r"cuda (driver )?error|cuda (execution )?failed|triton error|cudnn|cublas|cusparse|cusolver",
     "a GPU's error may be told late: CUDA_LAUNCH_BLOCKING=1 shows where it arose, and "
     "gemini-det3d doctor tries the GPU"),
)  # fmt: skip


def is_device_fault(error: BaseException) -> bool:
    """Whether a GPU, its memory or a library of it failed, whatever was asked of it."""
    return isinstance(error, DeviceError) or _advice(error) is not None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory did not suffice: the same may hold when there is more."""
    return _advice(error) == _MEMORY


@contextmanager
def naming_device_faults() -> Iterator[None]:
    """Say what to do about a GPU's error, below its frames.

    Raises:
        DeviceError: A GPU failed. All other errors stay as they are.
    """
    try:
        yield
    except RuntimeError as error:
        advice = _advice(error)
        if isinstance(error, DeviceError) or advice is None:
            raise
        raise DeviceError(f"{first_line(error, 200)} ({advice})") from error


def _advice(error: BaseException) -> str | None:
    """What to do about a GPU's error; None for any other."""
    if not isinstance(error, RuntimeError):
        return None
    for kind, pattern, advice in _FAULTS:
        if isinstance(error, kind) or re.search(pattern, str(error), re.IGNORECASE):
            return advice
    return None

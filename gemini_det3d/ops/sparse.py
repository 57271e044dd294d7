"""spconv on a machine without CUDA: the one place where a library is adjusted.

Two things stand in the way of spconv's CPU kernels, and neither has an argument, a subclass or a
registry through which to set it right, so both are set right in spconv's own module:

- The Python wrapper asks CUDA for the current stream before it looks at the tensors' device, so
  backward dies with "Torch not compiled with CUDA enabled". Where there is no CUDA the answer is 0.
- With more than one OpenMP thread the kernels race (spconv 2.3.8): on two threads about one
  convolution of 5,000 voxels in two was wrong, by up to half of the values' size, without any
  error. On CPU tensors they run on one thread; on CUDA tensors nothing changes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

_MARK = "_runs_without_cuda"
_KERNELS = (
    "get_indice_pairs",
    "indice_conv",
    "indice_conv_backward",
    "indice_maxpool",
    "indice_maxpool_backward",
)


def enable_spconv_on_cpu() -> bool:
    """Let spconv run on CPU tensors, backward too, and rightly. Safe to call any number of times.

    Returns:
        Whether spconv is installed (without it there is nothing to adjust).
    """
    try:
        import spconv.pytorch.ops as spconv_ops
    except ImportError:
        return False
    original = spconv_ops.get_current_stream
    if hasattr(original, _MARK):
        return True

    def current_stream_or_zero() -> int:
        return original() if torch.cuda.is_available() else 0

    setattr(current_stream_or_zero, _MARK, True)
    spconv_ops.get_current_stream = current_stream_or_zero
    for name in _KERNELS:
        setattr(spconv_ops, name, _on_one_thread(getattr(spconv_ops, name)))
    return True


def _on_one_thread(kernel: Callable) -> Callable:
    """The kernel, on one thread where its first tensor is on the CPU."""

    @functools.wraps(kernel)
    def run(*args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else next(iter(kwargs.values()))
        threads = torch.get_num_threads()
        if first.is_cuda or threads == 1:
            return kernel(*args, **kwargs)
        torch.set_num_threads(1)
        try:
            return kernel(*args, **kwargs)
        finally:
            torch.set_num_threads(threads)

    return run

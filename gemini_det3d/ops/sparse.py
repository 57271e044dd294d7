"""spconv on a machine without CUDA: the one place where a library is adjusted.

spconv's CPU kernels compute forward and backward, but its Python wrapper asks CUDA for the current
stream before it looks at the tensors' device, so backward dies with "Torch not compiled with CUDA
enabled". There is no argument, subclass or registry through which to answer that question, so the
function that asks is replaced, in spconv's own module, by one that answers 0 where there is no
CUDA. Where CUDA exists the original is called and nothing changes.
"""

from __future__ import annotations

import torch

_MARK = "_answers_without_cuda"


def enable_spconv_on_cpu() -> bool:
    """Let spconv's backward run on CPU tensors. Safe to call any number of times.

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
    return True

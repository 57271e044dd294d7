"""Triton's interpreter, as far as it must be mended to run products in bfloat16.

It stores bfloat16 as whole numbers and multiplies those (3.2 to 3.9).
"""

from __future__ import annotations

import numpy as np
import triton.language as tl
from triton.runtime import interpreter

__all__ = ["mend_products"]


def mend_products() -> None:
    """Let products of bfloat16 see the values."""
    plain = interpreter.InterpreterBuilder.create_dot

    def widen(handle):
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        values = (handle.data.astype(np.uint32) << 16).view(np.float32)
        return interpreter.TensorHandle(values, tl.float32)

    def create_dot(self, left, right, *rest):
        return plain(self, widen(left), widen(right), *rest)

    interpreter.InterpreterBuilder.create_dot = create_dot

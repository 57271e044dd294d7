"""Triton's interpreter, as far as it must be mended to run our kernels in bfloat16, and soon.

It stores bfloat16 as whole numbers and multiplies those (3.2 to 3.9). For every function that a
kernel calls it goes through the whole language again, to replace what it has replaced already: a
third of the time.
"""

from __future__ import annotations

import numpy as np
import triton.language as tl
from triton.runtime import interpreter

__all__ = ["mend_interpreter"]


def mend_interpreter() -> None:
    """Let products of bfloat16 see the values, and replace the language once a kernel."""
    _mend_products()
    plain = interpreter._patch_lang

    def patch_lang(function):
        names = function.__globals__.values()
        known = [lang for lang in (tl, tl.core) if any(name is lang for name in names)]
        if any(tl.core.is_builtin(lang.load) for lang in known):
            return plain(function)
        return getattr(interpreter, "_LangPatchScope", lambda: None)()  # nothing to take back

    interpreter._patch_lang = patch_lang


def _mend_products() -> None:
    plain = interpreter.InterpreterBuilder.create_dot

    def widen(handle):
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        values = (handle.data.astype(np.uint32) << 16).view(np.float32)
        return interpreter.TensorHandle(values, tl.float32)

    def create_dot(self, left, right, *rest):
        return plain(self, widen(left), widen(right), *rest)

    interpreter.InterpreterBuilder.create_dot = create_dot

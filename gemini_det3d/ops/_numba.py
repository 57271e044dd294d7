"""How this package compiles numba kernels; imported only by modules that hold kernels."""

from __future__ import annotations

from collections.abc import Callable

import numba


def jit(function: Callable) -> Callable:
    """Compile on the first call; keep the machine code on disk where a folder can be written."""
    try:
        return numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba finds no writable folder for its cache: compile in every process
        return numba.njit(error_model="numpy")(function)

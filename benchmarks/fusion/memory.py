"""Freed memory stays with the process, so that no call pays for pages touched the first time.

glibc hands large blocks back to the system as soon as they are freed, and the next call gets pages
that the system must clear first. On a virtual machine that may take longer than the arithmetic;
it grows with what a form allocates, so it also tells the forms apart. The first few calls of a size
still pay, until blocks lie where they are found again. See ``man 3 mallopt``.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_memory"]

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_memory() -> bool:
    """Let malloc keep what is freed, for the rest of the process.

    Returns:
        Whether it will: only glibc can be asked to.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # no block from mmap, which is returned when freed; never trim the heap
    return bool(mallopt is not None and mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))

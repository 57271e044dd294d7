"""One parallel region for many pieces of work: threads that need not wait for each other.

PyTorch starts every operation on all threads and waits for the last of them. Beside another program
that is what costs most: a thread that the system has put aside for one of its slices of time keeps
all others waiting, at every operation. Here each thread takes the next piece as soon as it has done
one, and they wait for each other once, at the end.

The threads are those of PyTorch's own operations: the function by which compiled code opens a
parallel region of GNU OpenMP is called from Python. Within a region PyTorch and MKL work on one
thread. Where that function is missing (macOS, builds with another runtime) the caller works alone,
and its operations on all threads as ever.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

__all__ = ["for_each", "num_workers"]

T = TypeVar("T")

_MOST_WORKERS = 16  # a guess, two were measured: Python runs one thread at a time
_WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def num_workers() -> int:
    """Threads that `for_each` may use; 1: it works on the caller's alone."""
    threads = torch.get_num_threads()
    return threads if 1 < threads <= _MOST_WORKERS and _open_region() is not None else 1


def for_each(items: Sequence[T], begin: Callable[[], Callable[[T], None]], workers: int) -> None:
    """Do something with each item, on some threads at once, without autograd.

    Args:
        items: Taken in their order; whichever thread is free takes the next.
        begin: Called once in each thread: gives what is done with an item, and may hold memory that
            the thread's items share.
        workers: Threads at most; above 1 only if `num_workers` says so.

    Raises:
        Exception: The first that an item raises; items that have not begun by then are left out.
    """
    rest, errors = iter(items), []
    is_inference = torch.is_inference_mode_enabled()  # each thread has its own

    def work(_: int | None = None) -> None:
        try:
            with torch.inference_mode(is_inference), torch.no_grad():
                do = begin()
                for item in rest:
                    if errors:
                        break
                    do(item)
        except BaseException as error:  # noqa: BLE001 (raised anew in the caller's thread)
            errors.append(error)

    open_region = _open_region() if workers > 1 else None
    if open_region is None:
        work()
    else:
        open_region(_WORK(work), None, workers, 0)
    if errors:
        raise errors[0]


@cache
def _open_region() -> Callable[..., None] | None:
    """GNU OpenMP's entry to a parallel region, of the runtime that PyTorch is linked with."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        open_region = library.GOMP_parallel
    except (OSError, AttributeError):
        return None
    open_region.argtypes = [_WORK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    open_region.restype = None
    return open_region

"""Times of a GPU alone and of a graph, and what no form can undercut on this GPU.

`wall` (`measure`) is one eager call on an idle GPU, host and all. `gpu` is the same call with its
launches queued behind a kernel that sleeps, so that the host's time is not in it. `graph` is the
wall clock of a CUDA graph's replay. Floors follow from what this GPU copies and multiplies in a
second, measured here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import torch

from .cases import Site

__all__ = [
    "Ceilings",
    "floors",
    "floors_ms",
    "graph_ms",
    "measure_ceilings",
    "products_in",
    "queued_ms",
    "torch_dtype",
]

_ROUNDS = 7
_FIRST_SLEEP, _LONGEST_SLEEP = 1 << 22, 1 << 30  # cycles: some 2 ms to half a second
_COPIED_BYTES, _SIDE = 1 << 30, 8192
_FORWARD_PRODUCTS, _TRAINING = 14, 3  # C^2 a pair; a backward has two products for each
_FORWARD_STREAMS, _TRAINING_STREAMS = 4, 10  # (N, C) tensors that must be read or written


class Ceilings(NamedTuple):
    """What a GPU does at most.

    Attributes:
        bytes_per_s: Read and written by a large copy.
        flops_per_s: Of a large product, two a multiply-add.
    """

    bytes_per_s: float
    flops_per_s: float


def torch_dtype(name: str) -> torch.dtype:
    """Of the tensors: "tf32" is float32's."""
    return torch.float32 if name == "tf32" else getattr(torch, name)


@contextmanager
def products_in(dtype: str) -> Iterator[None]:
    """Let float32 be multiplied as tf32 for as long, where that is what is measured."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = before or dtype == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def floors(sites: tuple[Site, ...], mode: str, dtype: torch.dtype, device: str) -> dict[str, float]:
    """Both floors, and what they follow from, under the names that rows have for them."""
    ceilings = _ceilings(dtype, device, torch.backends.cuda.matmul.allow_tf32)
    memory, products = floors_ms(sites, mode, dtype, ceilings)
    return {"floor_memory_ms": memory, "floor_products_ms": products, **ceilings._asdict()}


@functools.cache
def _ceilings(dtype: torch.dtype, device: str, allow_tf32: bool) -> Ceilings:
    del allow_tf32  # tells apart what is remembered
    return measure_ceilings(dtype, device)


def measure_ceilings(dtype: torch.dtype, device: str) -> Ceilings:
    """Copy 1 GiB, and multiply two matrices of 8192 x 8192, as exactly as products are now."""
    source = torch.empty(_COPIED_BYTES // dtype.itemsize, dtype=dtype, device=device)
    target = torch.empty_like(source)
    copying = queued_ms(lambda: target.copy_(source))
    square = torch.randn(_SIDE, _SIDE, device=device).to(dtype)
    out = torch.empty_like(square)
    multiplying = queued_ms(lambda: torch.mm(square, square, out=out))
    if copying is None or multiplying is None:
        raise RuntimeError("one launch could not be queued behind half a second of sleep")
    return Ceilings(2e3 * _COPIED_BYTES / copying, 2e3 * _SIDE**3 / multiplying)


def floors_ms(
    sites: tuple[Site, ...], mode: str, dtype: torch.dtype, ceilings: Ceilings
) -> tuple[float, float]:
    """Milliseconds that moving the streams takes, and that 14 C^2 products a pair take.

    In training streams and their gradients are moved, and each product has two in the backward.
    """
    is_training = mode == "training"
    streams = _TRAINING_STREAMS if is_training else _FORWARD_STREAMS
    products = _FORWARD_PRODUCTS * (_TRAINING if is_training else 1)
    pairs = [(site.batch * site.tokens, site.channels) for site in sites]
    moved = sum(streams * count * channels for count, channels in pairs) * dtype.itemsize
    flops = sum(2 * products * count * channels**2 for count, channels in pairs)
    return 1e3 * moved / ceilings.bytes_per_s, 1e3 * flops / ceilings.flops_per_s


def queued_ms(
    call: Callable[[], object], rounds: int = _ROUNDS, cuda: Any = torch.cuda
) -> float | None:
    """Time of the GPU alone for all that a call launches: a median.

    Launches are queued behind a kernel that sleeps; where the host was not through before it woke
    up, it sleeps twice as long.

    Args:
        call: What launches; warm.
        rounds: Timed.
        cuda: What has `_sleep`, `Event` and `synchronize`.

    Returns:
        Milliseconds; None where the host is slower than the longest sleep, or launches more than a
        queue holds.
    """
    cycles, times = _FIRST_SLEEP, []
    while len(times) < rounds:
        begin, end = (cuda.Event(enable_timing=True) for _ in range(2))
        cuda.synchronize()
        cuda._sleep(cycles)
        begin.record()
        call()
        end.record()
        is_hidden = not begin.query()  # still asleep when the last launch was queued
        cuda.synchronize()
        if is_hidden:
            times.append(begin.elapsed_time(end))
        elif cycles >= _LONGEST_SLEEP:
            return None
        else:
            cycles *= 2
    return median(times)


def graph_ms(call: Callable[[], object], rounds: int = _ROUNDS) -> float | None:
    """Wall clock of a replay of the call as a CUDA graph: a median; None where none is captured."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
    except RuntimeError:  # it waits for the GPU, or copies from the host
        return None
    times = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        started = perf_counter()
        graph.replay()
        torch.cuda.synchronize()
        times.append(1e3 * (perf_counter() - started))
    return median(times[1:])

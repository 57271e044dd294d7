"""Blocks of tokens on several threads at once.

Splitting every step over all cores makes them wait for each other some fifty times per block,
which is dear when another process takes one of them. Here each worker computes whole blocks,
with its own share of the cores and buffers that stay in its own caches, and all meet once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import TypeVar

import torch

__all__ = ["run_shares", "share_out"]

_MOST_WORKERS = 4  # more would wait for the interpreter instead of for each other
_Result = TypeVar("_Result")
_Block = TypeVar("_Block")
_pools: dict[tuple[int, int, int], ThreadPoolExecutor] = {}
_lock = Lock()


def share_out(blocks: list[_Block]) -> list[list[_Block]]:
    """Blocks per worker, in order and the same every time: sums must not depend on chance."""
    count = max(1, min(len(blocks), torch.get_num_threads(), _MOST_WORKERS))
    bounds = [len(blocks) * i // count for i in range(count + 1)]
    return [blocks[start:stop] for start, stop in zip(bounds, bounds[1:])]


def run_shares(
    work: Callable[[list[_Block]], _Result], shares: list[list[_Block]]
) -> list[_Result]:
    """Results of `work` on every share, one worker each; a single share stays in this thread."""
    if len(shares) == 1:
        return [work(shares[0])]
    pool = _pool(len(shares), torch.get_num_threads() // len(shares))
    return list(pool.map(torch.no_grad()(work), shares))


def _pool(num_workers: int, num_threads: int) -> ThreadPoolExecutor:
    """Workers of this process that use so many threads each inside PyTorch's operations."""
    key = os.getpid(), num_workers, num_threads  # threads do not survive a fork
    with _lock:
        if key not in _pools:
            _pools[key] = _start_pool(num_workers, num_threads)
        return _pools[key]


def _start_pool(num_workers: int, num_threads: int) -> ThreadPoolExecutor:
    barrier = Barrier(num_workers + 1)

    def start() -> None:
        torch.set_num_threads(num_threads)  # of this worker, and of threads that start later
        barrier.wait()

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(num_workers, "gemini_det3d", initializer=start)
    for _ in range(num_workers):
        pool.submit(int)
    barrier.wait()
    torch.set_num_threads(before)  # threads that start later get what they would have had
    return pool

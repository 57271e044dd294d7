"""How tokens are divided: into blocks, among threads, and among sums of gradients."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .parallel import num_workers
from .staging import LEAST_ROWS
from .workspace import round_up

__all__ = ["Division", "divide"]

# M C of a block a thread, measured on cores with 2 MiB of L2:
_ALONE = 1 << 18  # one thread, 1 MiB in float32
_TOGETHER = 1 << 19  # several threads: what they wait for each other costs by the block
_MOST = 1 << 21  # a block whose operations the threads share
_LEAST_SHARE = 1 << 17  # N C a thread below which the threads share each operation
_LEAST_TOKENS, _MOST_TOKENS = 256, 8192


class Division(NamedTuple):
    """Blocks of nearly equal size: a short last one would leave cores idle.

    Attributes:
        blocks: In order; their sizes are multiples of what `round_up` gives, but for the last.
        workers: Threads that compute a block each; 1: one block at a time, its operations shared.
        runs: The blocks in order, a run a worker. Each has its own sums of gradients and is
            computed by one thread: whichever that is, numbers are added up in the same order.
        size: From the start of a block to that of the next, in tokens.
    """

    blocks: list[slice]
    workers: int
    runs: list[list[slice]]
    size: int

    @property
    def largest(self) -> int:
        """Tokens of the largest block, rounded up."""
        return round_up(max((block.stop - block.start for block in self.blocks), default=0))


def divide(num_tokens: int, channels: int, block_tokens: int, size: int = 0) -> Division:
    """Divide N tokens of C channels.

    Args:
        num_tokens: N.
        channels: C.
        block_tokens: Tokens per block at most; 0 picks a number that suits the caches.
        size: Of the division that a tape was laid out by, whose blocks these must be, however many
            threads there are by now; 0: there is none.
    """
    if num_tokens == 0:
        return Division([], 1, [[]], 0)
    workers = num_workers()
    if num_tokens < workers * max(_LEAST_SHARE // channels, channels):
        workers = 1  # or sums of gradients, 16 C^2 a thread, would cost too much
    if not size:
        count = -(-num_tokens // (block_tokens or _suitable(channels, workers)))
        count = -(-count // workers) * workers
        size = round_up(-(-num_tokens // count))
    starts = list(range(0, max(num_tokens - LEAST_ROWS + 1, 1), size))  # a rest of a few joins in
    blocks = [slice(i, end) for i, end in zip(starts, [*starts[1:], num_tokens])]
    return Division(blocks, workers, _runs(blocks, workers), size)


def _suitable(channels: int, workers: int) -> int:
    threads = torch.get_num_threads()
    elements = _ALONE if threads == 1 else _TOGETHER
    if workers == 1:
        elements = min(elements * threads, _MOST)
    return min(max(elements // channels, _LEAST_TOKENS), _MOST_TOKENS)


def _runs(blocks: list[slice], workers: int) -> list[list[slice]]:
    ends = [round(i * len(blocks) / workers) for i in range(workers + 1)]
    return [blocks[i:j] for i, j in zip(ends, ends[1:]) if i < j]

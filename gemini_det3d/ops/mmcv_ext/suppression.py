"""Greedy suppression from the pairs that overlap too much, where a loop over boxes would be slow.

Shape: N boxes, best first.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Rounds before the device is asked whether anything still changes: a round is cheaper than a wait.
_ROUNDS = 4
# Pairs of boxes compared at once, 4096 boxes with all: half a GB with what goes along.
_PAIRS_AT_ONCE = 2**24


def pairs_of(num: int, of_rows: Callable[[slice], Tensor]) -> Tensor:
    """All pairs of boxes, compared in pieces where there are many, since each takes scratch.

    Args:
        num: N.
        of_rows: Gives the rows ``(n, N)`` bool of a slice of the boxes.

    Returns:
        ``(N, N)`` bool.
    """
    most = max(_PAIRS_AT_ONCE // max(num, 1), 1)
    if num <= most:
        return of_rows(slice(None))
    first = of_rows(slice(most))
    pairs = first.new_empty(num, num)
    pairs[:most] = first
    for start in range(most, num, most):
        pairs[start : start + most] = of_rows(slice(start, start + most))
    return pairs


def kept_of(overlapping: Tensor) -> Tensor:
    """Which boxes the greedy loop keeps, found without looping over boxes.

    A box is kept when no kept better one overlaps it. Starting from "all are kept" and asking
    again until nothing changes, the answer is right for the first box, then for those that depend
    on it alone, and so on: as many rounds as the longest chain of suppressions, 5 to 20 in
    practice.

    Args:
        overlapping: ``(N, N)`` bool; only pairs with row < column are read.

    Returns:
        ``(N,)`` bool.
    """
    # Only whether a sum of ones is 0 counts, so half precision will do; a CPU is slow in it.
    dtype = torch.float32 if overlapping.device.type == "cpu" else torch.float16
    below = overlapping.triu(1).to(dtype)
    kept = torch.ones(len(below), device=below.device, dtype=dtype)
    while True:
        for _ in range(_ROUNDS):
            before, kept = kept, (kept @ below == 0).to(dtype)
        if torch.equal(before, kept):
            return kept.bool()

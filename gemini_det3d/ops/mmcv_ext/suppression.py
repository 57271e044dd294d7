"""Greedy suppression from the pairs that overlap too much, where a loop over boxes would be slow.

Shape: N boxes, best first.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Rounds before the device is asked whether anything still changes: a round is cheaper than a wait.
_ROUNDS = 4


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
    below = overlapping.triu(1).float()
    kept = torch.ones(len(below), device=below.device)
    while True:
        for _ in range(_ROUNDS):
            before, kept = kept, (kept @ below == 0).float()
        if torch.equal(before, kept):
            return kept.bool()

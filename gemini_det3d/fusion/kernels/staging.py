"""Rows of a block as the arithmetic wants them, and back: dtype, mask, and not too few of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LEAST_ROWS", "copy_rows", "mask_of", "room_for", "stage", "unstage"]

LEAST_ROWS = 16  # products of fewer rows round otherwise: fewer tokens are padded


def mask_of(valid: Tensor | None, rows: slice) -> tuple[Tensor | None, bool]:
    """Mask (M, 1) of a block, None where all its tokens are valid, and whether any is."""
    if valid is None:
        return None, True
    mask = valid.reshape(-1, 1)[rows]
    count = int(mask.count_nonzero())
    return None if count == len(mask) else mask, count > 0


def stage(rows: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The rows in a dtype, zeros where not valid, LEAST_ROWS at least."""
    staged = rows.to(dtype)
    if mask is not None:
        staged = torch.where(mask, staged, 0)
    missing = LEAST_ROWS - len(staged)
    return F.pad(staged, (0, 0, 0, missing)) if missing > 0 else staged


def room_for(out: Sequence[Tensor], mask: Tensor | None, dtype: torch.dtype) -> Sequence[Tensor]:
    """Where the block may write: the result itself, unless dtype, mask or few rows forbid."""
    size = max(len(out[0]), LEAST_ROWS)
    if mask is None and out[0].dtype == dtype and len(out[0]) == size:
        return out
    return [rows.new_empty(size, rows.shape[1], dtype=dtype) for rows in out]


def unstage(
    computed: Sequence[Tensor], out: Sequence[Tensor], mask: Tensor | None, own: Sequence[Tensor]
) -> None:
    """Bring what was computed to the result, and what is not valid as it was."""
    if computed is out:
        return
    for source, target, kept in zip(computed, out, own):
        target.copy_(source[: len(target)])
        if mask is not None:
            torch.where(mask, target, kept, out=target)


def copy_rows(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    """What no valid token of a block changes."""
    for source, target in zip(sources, targets):
        target.copy_(source)

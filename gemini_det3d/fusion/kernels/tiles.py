"""Sizes of tiles of the Triton kernels, by channels, heads and dtype.

Chosen by compiling offline for sm_80, sm_89 and sm_90 (`benchmark fusion --inspect`) so that none
spills registers and none needs more than the 99 KiB of shared memory that a block has on every one
of them; docs/design/operator_gpu.md says what was compiled. They have not been timed on a GPU.
Nothing depends on the number of tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = [
    "MOST_DEPTH",
    "ONE_KERNEL_CHANNELS",
    "Groups",
    "Tile",
    "groups_of",
    "is_narrow",
    "power_of_two",
    "tile",
]

ONE_KERNEL_CHANNELS = 64  # up to which all weights of a direction fit beside the tokens
_EXACT_ONE_KERNEL_CHANNELS = 16  # exact float32 has no tensor cores: its factors lie in registers
MOST_DEPTH = 128  # channels of a head that a tile of the gate can hold


class Tile(NamedTuple):
    """Of one kernel: tokens, output channels and input channels at a time; how it is scheduled."""

    rows: int
    columns: int
    depth: int
    num_warps: int
    num_stages: int


class Groups(NamedTuple):
    """Heads that a program of the gate computes at a time, and the columns that hold them."""

    heads: int
    width: int
    count: int


def power_of_two(number: int) -> int:
    """The least power of two from a number on, and at least 16: the least that a product takes."""
    return max(16, 1 << (number - 1).bit_length())


def groups_of(channels: int, num_heads: int, dtype: torch.dtype) -> Groups:
    """The grouping with the fewest columns that hold nothing; wider ones break ties.

    Heads of odd depth get room for several, where fewer columns are lost.
    """
    depth = channels // num_heads
    most = 32 if dtype.itemsize > 2 else 128 if depth & (depth - 1) else 64
    most = max(most, power_of_two(depth))
    choices = []
    for heads in range(1, num_heads + 1):
        width, count = power_of_two(heads * depth), -(-num_heads // heads)
        if width <= most:
            choices.append((width * count, -width, heads))
    _, width, heads = min(choices)
    return Groups(heads, -width, -(-num_heads // heads))


def is_narrow(channels: int, is_exact: bool = False) -> bool:
    """Whether one kernel does everything in inference; `is_exact` as for `tile`."""
    return channels <= (_EXACT_ONE_KERNEL_CHANNELS if is_exact else ONE_KERNEL_CHANNELS)


def tile(
    kernel: str,
    channels: int,
    dtype: torch.dtype,
    width: int = 0,
    with_wgmma: bool = True,
    is_exact: bool = False,
) -> Tile:
    """Tile of a kernel.

    Args:
        kernel: "one", "hidden", "relation", "gate", "out", "attention", "difference", "logits",
            "streams" or "weights" (the last five of the backward).
        channels: C.
        dtype: Of the products.
        width: Columns of a group of heads, for "gate" and "attention".
        with_wgmma: Whether products read shared memory (sm_90): without, they need registers for
            both factors.
        is_exact: Whether float32 is multiplied as it is, not as tf32: without tensor cores.
    """
    padded, is_half = power_of_two(channels), dtype.itemsize == 2
    columns, deep = min(padded, 128 if is_half else 64), min(padded, 32 if is_half else 16)
    if kernel == "one":
        return Tile(64 if is_half else 16, padded, padded, 4 if is_half and padded < 64 else 8, 1)
    if kernel == "relation":  # whole rows
        columns = min(padded, 512)
        rows = max(16, min(64 if with_wgmma else 32, (1 << 14) // columns))
        num_warps = 16 if is_exact and padded > 512 else 8
        return Tile(rows if is_half else max(16, rows // 2), columns, deep, num_warps, 2)
    if kernel == "gate":
        is_small = width <= 64 and is_half and with_wgmma
        rows = 64 if with_wgmma else 32
        return Tile(rows if is_half else rows // 2, width, deep, 4 if is_small else 8, 2)
    if kernel == "attention":
        rows = 64 if width <= 64 and with_wgmma else 32
        deep = 8 if is_exact and width > 64 else deep
        return Tile(rows if is_half else 16, width, deep, 8, 2)
    if kernel in ("difference", "logits", "streams"):
        return Tile(64, min(columns, 64), deep, 4 if is_half else 8, 2)
    if kernel == "weights":  # rows and columns of the weight, depth in tokens
        side = min(padded, 64)
        return Tile(side, side, 32 if is_half else 16, 4 if is_half else 8, 2)
    if kernel == "hidden" and is_exact:
        return Tile(32, columns, deep, 8, 3)
    return Tile(64, columns, min(padded, 64) if is_half else deep, 4 if is_half else 8, 3)

"""Sizes of tiles of the Triton kernels, by channels, heads and dtype.

None spills registers or needs more shared memory than a block has (`benchmark fusion --inspect`
compiles all of them without a GPU). Those of Hopper were chosen by timing them on an H200 in
bfloat16 and tf32, but where it says otherwise; those of other GPUs, and of exact float32, have not
been timed: docs/design/operator_gpu.md. Nothing depends on the number of tokens.
"""

from __future__ import annotations

import functools
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


@functools.cache
def groups_of(
    channels: int,
    num_heads: int,
    dtype: torch.dtype,
    with_wgmma: bool = True,
    is_exact: bool = False,
) -> Groups:
    """The grouping with the fewest columns that hold nothing; wider ones break ties.

    Heads of odd depth get room for several, where fewer columns are lost. Arguments as in `tile`.
    """
    depth = channels // num_heads
    most = 64
    if dtype.itemsize == 2 and depth & (depth - 1):
        most = 128
    if dtype.itemsize > 2 and (is_exact or not with_wgmma):
        most = 32
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


@functools.cache
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
    if is_exact:
        return _exact(kernel, padded, width)
    if with_wgmma:
        return _hopper(kernel, padded, width, is_half)
    return _older(kernel, padded, width, is_half)


def _hopper(kernel: str, padded: int, width: int, is_half: bool) -> Tile:
    """Timed on an H200, in bfloat16 or tf32."""
    deep = min(padded, 64 if is_half else 32)
    half_deep = min(padded, 32)
    if kernel == "one":
        if not is_half:
            return Tile(16, padded, padded, 8, 1)
        return Tile(128 if padded == 64 else 64, padded, padded, 8 if padded == 64 else 4, 1)
    if kernel == "relation":  # whole rows, 512 columns at a time
        if padded >= 512:
            return Tile(64 if padded == 512 and is_half else 16, 512, deep, 8, 2)
        if padded == 256:
            return Tile(64, 256, deep, 8, 2)
        return Tile(64 if is_half else 32, padded, half_deep, 4, 3)
    if kernel in ("gate", "attention"):
        is_large = width > 64 or (kernel == "attention" and not is_half)
        if kernel == "gate" and not is_half and width >= 64:  # Triton 3.9 spills at 32; not timed
            half_deep = 16
        return Tile(64, width, half_deep, 8 if is_large else 4, 3 if is_half else 2)
    if kernel == "hidden" and is_half and padded >= 128:
        return Tile(128, 128, deep, 8, 3)
    if kernel == "hidden" or (kernel in ("out", "streams") and is_half):
        is_large = kernel == "streams" and padded >= 512
        return Tile(64, min(padded, 128), deep, 8 if is_large else 4, 3)
    if kernel == "logits":
        return Tile(64, min(padded, 64), half_deep, 4, 4 if is_half else 2)
    if kernel == "weights" and is_half:  # depth in tokens; 3 stages spill at 32 channels
        return Tile(min(padded, 64), min(padded, 64), 128, 4, 3 if padded >= 64 else 2)
    return Tile(64, min(padded, 64), deep, 4, 3)


def _older(kernel: str, padded: int, width: int, is_half: bool) -> Tile:
    """Compiled for sm_80 and sm_89, where a block has 99 KiB of shared memory."""
    columns, deep = min(padded, 128 if is_half else 64), min(padded, 32 if is_half else 16)
    if kernel == "one":
        rows = (64 if padded < 64 else 32) if is_half else 16  # 64 with a bias and a mask spill
        return Tile(rows, padded, padded, 4 if is_half and padded < 64 else 8, 1)
    if kernel == "relation":
        columns = min(padded, 512)
        rows = max(16, min(32, (1 << 14) // columns))
        return Tile(rows if is_half else max(16, rows // 2), columns, deep, 8, 2)
    if kernel in ("gate", "attention"):
        if kernel == "attention" and padded == 64:  # deeper spills with a bias and a mask
            deep = 16
        return Tile(32 if is_half else 16, width, deep, 8, 2)
    if kernel in ("difference", "logits", "streams"):
        return Tile(64, min(columns, 64), deep, 4 if is_half else 8, 2)
    if kernel == "weights":  # rows and columns of the weight, depth in tokens; see `_exact`
        side = min(padded, 64)
        return Tile(side, side, 32 if is_half else 16, 4 if is_half or side < 64 else 8, 2)
    return Tile(64, columns, min(padded, 64) if is_half else deep, 4 if is_half else 8, 3)


def _exact(kernel: str, padded: int, width: int) -> Tile:
    """Float32 without tensor cores: compiled for all three."""
    columns, deep = min(padded, 64), 16
    if kernel == "one":
        return Tile(16, padded, padded, 8, 1)
    if kernel == "relation":
        columns = min(padded, 512)
        rows = max(16, min(32, (1 << 13) // columns))
        return Tile(rows, columns, deep, 16 if padded > 512 else 8, 2)
    if kernel == "gate":  # 32 channels in 32 rows spill on sm_90 with a bias and a mask
        return Tile(16 if padded == 32 else 32, width, deep, 8, 2)
    if kernel == "attention":
        return Tile(16, width, 8 if width > 64 else deep, 8, 2)
    if kernel in ("difference", "logits", "streams"):
        return Tile(64, columns, deep, 8, 2)
    if kernel == "weights":  # 8 warps spill at 32 channels, 2 stages at 64
        return Tile(columns, columns, 16, *((4, 2) if columns < 64 else (8, 3)))
    return Tile(32, columns, deep, 8, 3)

"""What the Triton kernels of the operator share: tiles, products, sums over heads, launching.

Products add up in float32 whatever is stored. Tokens that are not valid are read as zeros. All
sizes but the number of tokens are known to the compiler, so a kernel is compiled once a model.
Importing this module needs Triton.

Shape shorthand: N tokens, C channels, h heads, d = C / h.
"""

# Triton compiles these functions; what their arguments are at run time, Python cannot see.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = [
    "DTYPES",
    "device_of",
    "either",
    "factor",
    "gelu",
    "gelu_parts",
    "head_sums",
    "kernel",
    "launch",
    "own_share",
    "place_of",
    "product",
    "project_heads",
    "rows_of",
]

DTYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
# A compiled kernel takes the constants, too, from 3.3 on; tried with 3.6 and later.
_REMEMBERS = tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 6)
kernel = triton.jit(do_not_specialize=["num_tokens", "per_split", "splits"])
"""Decorates a kernel: no number of tokens is compiled into it."""


def launch(
    known: dict | None, function: Any, programs: int, *arguments: Any, **constants: Any
) -> None:
    """Start a kernel on a line of programs, which has no limit of 65,535.

    Args:
        known: Remembers what was compiled, for calls whose arguments Triton tells apart by
            constants and by which are None alone: to find that out anew takes longer than many a
            kernel. None: find it out.
        function: The kernel.
        programs: How many.
        arguments: Of the kernel, without its constants.
        constants: By name; `num_warps` and `num_stages`.
    """
    if known is None or not _REMEMBERS:
        function[(programs,)](*arguments, **constants)
        return
    key = function, tuple([each is None for each in arguments]), tuple(constants.values())
    if key in known:
        compiled, values = known[key]
        compiled[programs, 1, 1](*arguments, *values)
    else:
        names = function.arg_names[len(arguments) :]
        compiled = function[(programs,)](*arguments, **constants)
        known[key] = compiled, tuple(constants[name] for name in names)


def device_of(tensor: Tensor) -> AbstractContextManager:
    """Make the tensor's GPU the current one, if it is not: Triton launches on the current one."""
    device = tensor.device
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(device)


@triton.jit
def gelu_parts(x):
    """The distribution of a standard normal variable up to x, and x times its density."""
    share = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
    return share, x * 0.3989422804014327 * tl.exp(-0.5 * x * x)


@triton.jit
def gelu(x):
    """x times the share of a standard normal variable below x."""
    return x * (0.5 * (1.0 + tl.erf(x * 0.7071067811865476)))


@triton.jit
def rows_of(block, num_tokens, valid, ROWS: tl.constexpr):
    """Rows of a block, which of them exist, and which of those are valid."""
    row = block.to(tl.int64) * ROWS + tl.arange(0, ROWS)
    exists = row < num_tokens
    seen = exists
    if valid is not None:
        seen = exists & (tl.load(valid + row, mask=exists, other=0) != 0)
    return row, exists, seen


@triton.jit
def place_of(
    num_tokens, valid, BLOCKS: tl.constexpr, C: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    """Of a program: direction, block of columns, `rows_of`, and where these start in (2, N, C)."""
    program = tl.program_id(0)
    i = program % 2
    row, exists, seen = rows_of(program // (2 * BLOCKS), num_tokens, valid, ROWS)
    base = (i.to(tl.int64) * num_tokens + row) * C
    return i, program // 2 % BLOCKS, row, exists, seen, base


@triton.jit
def either(i, first, second):
    """What direction i calls its own; with the two swapped, the other."""
    if i == 0:
        own = first
    else:
        own = second
    return own


@triton.jit
def factor(values, KIND: tl.constexpr, PRECISION: tl.constexpr):
    """Values as a factor of a product: in its dtype, and for tf32 rounded.

    Tensor cores cut the last 13 bits off, which is a bias; libraries round before, and so do we.
    """
    result = values.to(KIND)
    if PRECISION == "tf32":
        bits = result.to(tl.int32, bitcast=True)
        rounded = ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True)
        result = tl.where(result == result, rounded, result)  # a NaN could become 0
    return result


@triton.jit
def product(
    total, stream, at_row, seen, column_stride, weight, out, KIND: tl.constexpr, C: tl.constexpr,
    DEPTH: tl.constexpr, IN_STRIDE: tl.constexpr, OUT_STRIDE: tl.constexpr,
    PRECISION: tl.constexpr, WITH_GELU: tl.constexpr = False, IS_PACKED: tl.constexpr = True,
):  # fmt: skip
    """Add rows (ROWS, C) of a stream times a weight (C, C) at its columns `out` to the total.

    IN_STRIDE and OUT_STRIDE say how the weight lies: 1, C for x W^T and C, 1 for x W. What is
    packed is a factor already.
    """
    for start in range(0, C, DEPTH):
        k = start + tl.arange(0, DEPTH)
        left_mask = seen[:, None]
        right_mask = (out < C)[None, :]
        if C % DEPTH != 0:
            left_mask = left_mask & (k < C)[None, :]
            right_mask = right_mask & (k < C)[:, None]
        left_at = at_row[:, None] + k[None, :] * column_stride
        left = tl.load(stream + left_at, mask=left_mask, other=0.0)
        if WITH_GELU:
            left = gelu(left.to(tl.float32))
        left = factor(left, KIND, PRECISION)
        right_at = k[:, None] * IN_STRIDE + out[None, :] * OUT_STRIDE
        right = tl.load(weight + right_at, mask=right_mask, other=0.0)
        if not IS_PACKED:
            right = factor(right, KIND, PRECISION)
        total = tl.dot(left, right, total, input_precision=PRECISION)
    return total


@triton.jit
def head_sums(values, HEADS: tl.constexpr, DEPTH: tl.constexpr):
    """(rows, columns) of some heads -> the sum over each head in every column of it."""
    ROWS: tl.constexpr = values.shape[0]
    WIDTH: tl.constexpr = values.shape[1]
    if HEADS * DEPTH == WIDTH:
        sums = tl.sum(tl.reshape(values, (ROWS, HEADS, DEPTH)), axis=2)
        wide = tl.broadcast_to(sums[:, :, None], (ROWS, HEADS, DEPTH))
        result = tl.reshape(wide, (ROWS, WIDTH))
    else:
        head = tl.arange(0, WIDTH) // DEPTH
        result = tl.zeros_like(values)
        for i in tl.static_range(HEADS):
            is_mine = (head == i)[None, :]
            one = tl.sum(tl.where(is_mine, values, 0.0), axis=1)
            result = tl.where(is_mine, one[:, None], result)
    return result


@triton.jit
def own_share(
    products, scale, bias, row, seen, i, HEADS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """u (rows, columns) of direction i from query times key: how much a token reads of itself.

    `bias` (N,) speaks for reading the second stream; None: nothing does.
    """
    logit = head_sums(products, HEADS, DEPTH) * scale
    if bias is not None:
        added = tl.load(bias + row, mask=seen, other=0.0)
        logit += ((2 * i - 1) * added)[:, None]
    return tl.sigmoid(logit)


@triton.jit
def project_heads(
    own, other, related, up, at_row, column_stride, base, seen, packed, biases, n, inside,
    C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    KIND: tl.constexpr, PRECISION: tl.constexpr, IS_PHI: tl.constexpr,
):  # fmt: skip
    """Query, key, own and other value (ROWS, COLUMNS) at the columns n; last `up` through W_o.

    `related` holds x - x * phi, or phi. `up` (N, C) is the upstream gradient; None: zeros are last.
    `packed` and `biases` are those of this direction, as `triton_forward` packs them.
    """
    query = tl.zeros((ROWS, COLUMNS), tl.float32)
    key = tl.zeros((ROWS, COLUMNS), tl.float32)
    near = tl.zeros((ROWS, COLUMNS), tl.float32)
    far = tl.zeros((ROWS, COLUMNS), tl.float32)
    towards = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, C, DEPTH):
        k = start + tl.arange(0, DEPTH)
        mask = seen[:, None]
        w_mask = inside[None, :]
        if C % DEPTH != 0:
            mask = mask & (k < C)[None, :]
            w_mask = w_mask & (k < C)[:, None]
        at = at_row[:, None] + k[None, :] * column_stride
        x = tl.load(own + at, mask=mask, other=0.0)
        z = factor(tl.load(other + at, mask=mask, other=0.0), KIND, PRECISION)
        difference = tl.load(related + base[:, None] + k[None, :], mask=mask, other=0.0)
        if IS_PHI:
            wide = x.to(tl.float32)
            difference = wide - wide * difference.to(tl.float32)
        difference = factor(difference, KIND, PRECISION)
        x = factor(x, KIND, PRECISION)
        w = packed + n[None, :] * C + k[:, None]
        w_query = tl.load(w, mask=w_mask, other=0.0)
        w_key = tl.load(w + 2 * C * C, mask=w_mask, other=0.0)
        w_value = tl.load(w + 4 * C * C, mask=w_mask, other=0.0)
        query = tl.dot(x, w_query, query, input_precision=PRECISION)
        key = tl.dot(difference, w_key, key, input_precision=PRECISION)
        near = tl.dot(x, w_value, near, input_precision=PRECISION)
        far = tl.dot(z, w_value, far, input_precision=PRECISION)
        if up is not None:
            upstream = factor(tl.load(up + at, mask=mask, other=0.0), KIND, PRECISION)
            w_out = packed + 6 * C * C + k[:, None] * C + n[None, :]
            w_out = tl.load(w_out, mask=w_mask, other=0.0)
            towards = tl.dot(upstream, w_out, towards, input_precision=PRECISION)
    query += tl.load(biases + n, mask=inside, other=0.0)[None, :]
    key += tl.load(biases + 2 * C + n, mask=inside, other=0.0)[None, :]
    near += tl.load(biases + 4 * C + n, mask=inside, other=0.0)[None, :]
    far += tl.load(biases + 6 * C + n, mask=inside, other=0.0)[None, :]
    return query, key, near, far, towards

"""The operator backwards, towards the parameters: two kernels.

`weights` contracts over the tokens, in float32, split over them and added up stretch by stretch;
`finish` adds the splits in order: the same bits every time. The buffer is that of
`triton_backward`, see `PLACES` there.
"""

# Triton compiles these functions; what their arguments are at run time, Python cannot see.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from .triton_parts import either, factor, kernel

__all__ = ["finish_kernel", "weights_kernel"]


@triton.jit
def _contract(
    total, sums, left, right, valid, start, stop, row, column, C: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, TOKENS: tl.constexpr, CHUNK: tl.constexpr,
    PRECISION: tl.constexpr, WITH_SUMS: tl.constexpr,
):  # fmt: skip
    """Add left^T right over tokens (tokens, C) from start to stop; WITH_SUMS also left^T 1."""
    for chunk in range(start, stop, CHUNK):
        part = tl.zeros((ROWS, COLUMNS), tl.float32)
        part_sums = tl.zeros((ROWS,), tl.float32)
        for first in range(chunk, tl.minimum(chunk + CHUNK, stop), TOKENS):
            token = first + tl.arange(0, TOKENS)
            seen = token < stop
            if valid is not None:
                seen = seen & (tl.load(valid + token, mask=seen, other=0) != 0)
            at = token.to(tl.int64) * C
            mask = (row < C)[:, None] & seen[None, :]
            a = tl.load(left + at[None, :] + row[:, None], mask=mask, other=0.0)
            mask = seen[:, None] & (column < C)[None, :]
            b = tl.load(right + at[:, None] + column[None, :], mask=mask, other=0.0)
            part = tl.dot(
                factor(a, a.dtype, PRECISION), factor(b, b.dtype, PRECISION), part,
                input_precision=PRECISION,
            )  # fmt: skip
            if WITH_SUMS:
                part_sums += tl.sum(a.to(tl.float32), axis=1)
        total += part
        sums += part_sums
    return total, sums


@triton.jit
def _sides(job, first, second, up, buffer, half, start, stop):
    """Left and right of either contraction of a weight, and where the second's tokens stop."""
    size, mine = 2 * half, job % 2 * half
    left, right = buffer + mine, either(job % 2, first, second)
    left_2, right_2 = left, either(job % 2, second, first)
    stop_2 = start  # for one contraction only
    if (job >= 2) & (job < 4):
        left, right = buffer + size + mine, buffer + 6 * size + mine
    elif (job >= 4) & (job < 6):
        left, left_2 = buffer + 2 * size + mine, buffer + 3 * size + mine
        stop_2 = stop
    elif (job >= 6) & (job < 8):
        left, right = up, buffer + 4 * size + mine
    elif job == 8:
        left, right = buffer + 7 * size, buffer + 9 * size
        left_2, right_2 = buffer + 7 * size + half, buffer + 9 * size + half
        stop_2 = stop
    elif job >= 9:  # near: x_0 and x_1; far: x_1 and x_0
        left, left_2 = buffer + 8 * size, buffer + 8 * size + half
        right, right_2 = either(job - 9, first, second), either(job - 9, second, first)
        stop_2 = stop
    return left, right, left_2, right_2, stop_2


@kernel
def weights_kernel(
    first, second, valid, up_first, up_second, buffer, partial, partial_sums, num_tokens, per_split,
    C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    CHUNK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A split's share of the gradients of eleven weights (C, C), each one or two contractions.

    Query, key, value and out of either direction, relation, then the halves of the discriminator's
    first layer: `partial` (splits, 11, C, C); `partial_sums` (splits, 11, 2, C) of what meets the
    two right sides, for the biases.
    """
    BLOCKS: tl.constexpr = (C + COLUMNS - 1) // COLUMNS
    program = tl.program_id(0)
    column_block = program % BLOCKS
    row = (program // BLOCKS % tl.cdiv(C, ROWS)) * ROWS + tl.arange(0, ROWS)
    job = program // (BLOCKS * tl.cdiv(C, ROWS))
    split = job // 11
    job = job % 11
    column = column_block * COLUMNS + tl.arange(0, COLUMNS)
    start = split * per_split
    stop = tl.minimum(start + per_split, num_tokens)
    left, right, left_2, right_2, stop_2 = _sides(
        job, first, second, either(job % 2, up_first, up_second), buffer,
        num_tokens.to(tl.int64) * C, start, stop,
    )  # fmt: skip
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    sums = tl.zeros((ROWS,), tl.float32)
    sums_2 = tl.zeros((ROWS,), tl.float32)
    to = partial_sums + (split * 11 + job) * 2 * C + row
    if column_block == 0:
        total, sums = _contract(total, sums, left, right, valid, start, stop, row, column, C, ROWS,
                                COLUMNS, DEPTH, CHUNK, PRECISION, True)  # fmt: skip
        total, sums_2 = _contract(total, sums_2, left_2, right_2, valid, start, stop_2, row, column,
                                  C, ROWS, COLUMNS, DEPTH, CHUNK, PRECISION, True)  # fmt: skip
        tl.store(to, sums, mask=row < C)
        tl.store(to + C, sums_2, mask=row < C)
    else:
        total, sums = _contract(total, sums, left, right, valid, start, stop, row, column, C, ROWS,
                                COLUMNS, DEPTH, CHUNK, PRECISION, False)  # fmt: skip
        total, sums = _contract(total, sums, left_2, right_2, valid, start, stop_2, row, column, C,
                                ROWS, COLUMNS, DEPTH, CHUNK, PRECISION, False)  # fmt: skip
    at = (split * 11 + job).to(tl.int64) * C * C + row[:, None] * C + column[None, :]
    tl.store(partial + at, total, mask=(row < C)[:, None] & (column < C)[None, :])


@triton.jit
def _sum_of(partial_sums, job, second, row, splits, C: tl.constexpr, ROWS: tl.constexpr):
    """All splits of one row of `partial_sums`, in order."""
    total = tl.zeros((ROWS,), tl.float32)
    for split in range(0, splits):
        at = ((split * 11 + job) * 2 + second) * C + row
        total += tl.load(partial_sums + at, mask=row < C, other=0.0)
    return total


@triton.jit
def _finish_noise(
    job, key_w, value_w, partial_sums, to_key_noise, to_value_noise, splits, C: tl.constexpr,
    ROWS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Some columns of one of four noises: what meets the biases, back through the weight."""
    which = job // tl.cdiv(C, ROWS)
    column = (job % tl.cdiv(C, ROWS)) * ROWS + tl.arange(0, ROWS)
    i = which % 2
    if which < 2:
        weight, to = key_w, to_key_noise
    else:
        weight, to = value_w, to_value_noise
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, C, DEPTH):
        row = start + tl.arange(0, DEPTH)
        sums = _sum_of(partial_sums, 2 + which, 0, row, splits, C, DEPTH)
        at = i * C * C + row[:, None] * C + column[None, :]
        mask = (row < C)[:, None] & (column < C)[None, :]
        values = tl.load(weight + at, mask=mask, other=0.0).to(tl.float32)
        total += tl.sum(sums[:, None] * values, axis=0)
    tl.store(to + i * C + column, total, mask=column < C)


@kernel
def finish_kernel(
    key_w, value_w, key_noise, value_noise, partial, partial_sums, to_query, to_key, to_value,
    to_in_bias, to_out, to_out_bias, to_relation_in, to_relation_in_bias, to_relation_out,
    to_relation_out_bias, to_key_noise, to_value_noise, splits, C: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of the parameters: splits in order, and the noise's share of key and value."""
    job = tl.program_id(0) // tl.cdiv(C, ROWS)
    row = (tl.program_id(0) % tl.cdiv(C, ROWS)) * ROWS + tl.arange(0, ROWS)
    if job >= 11:
        _finish_noise(tl.program_id(0) - 11 * tl.cdiv(C, ROWS), key_w, value_w, partial_sums,
                      to_key_noise, to_value_noise, splits, C, ROWS, DEPTH)  # fmt: skip
    else:
        i, mask = job % 2, row < C
        sums = _sum_of(partial_sums, job, 0, row, splits, C, ROWS)
        second = _sum_of(partial_sums, job, 1, row, splits, C, ROWS)
        noise, factor = key_noise + i * C, 0.0
        to, row_stride = to_query + i * C * C, C
        if job < 2:
            tl.store(to_in_bias + i * 3 * C + row, sums, mask=mask)
        elif job < 4:
            tl.store(to_in_bias + i * 3 * C + C + row, tl.zeros((ROWS,), tl.float32), mask=mask)
            to, factor = to_key + i * C * C, 1.0
        elif job < 6:
            tl.store(to_in_bias + i * 3 * C + 2 * C + row, sums + second, mask=mask)
            to, noise, factor = to_value + i * C * C, value_noise + i * C, 1.0
        elif job < 8:
            tl.store(to_out_bias + i * C + row, sums, mask=mask)
            to = to_out + i * C * C
        elif job == 8:
            tl.store(to_relation_out_bias + row, sums + second, mask=mask)
            to = to_relation_out
        else:
            to, row_stride = to_relation_in + (job - 9) * C, 2 * C
            if job == 9:
                tl.store(to_relation_in_bias + row, sums + second, mask=mask)
        for start in range(0, C, DEPTH):
            k = start + tl.arange(0, DEPTH)
            inside = mask[:, None] & (k < C)[None, :]
            total = tl.zeros((ROWS, DEPTH), tl.float32)
            for split in range(0, splits):
                at = (split * 11 + job).to(tl.int64) * C * C + row[:, None] * C + k[None, :]
                total += tl.load(partial + at, mask=inside, other=0.0)
            added = tl.load(noise + k, mask=k < C, other=0.0).to(tl.float32)
            total += factor * sums[:, None] * added[None, :]
            tl.store(to + row[:, None] * row_stride + k[None, :], total, mask=inside)

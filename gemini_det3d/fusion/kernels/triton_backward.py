"""The operator backwards: four kernels towards the streams, two towards the parameters.

`attention` computes query, key, both values and what comes back through the out projection, of
some heads, and leaves the gradients of the four. `difference` takes that of the key back to
x - x * phi, `logits` goes on through softmax and GELU, `streams` adds up what reaches either
stream: five products in one sum. `weights` contracts over the tokens, in float32, split over them
and added up stretch by stretch; `finish` adds the splits in order: the same bits every time.

What lies between the kernels is one buffer (10, 2, N, C) in the products' dtype, see `PLACES`.
Notation as in `functional`, the gate is u = 1 - a as in `block`; arguments as in `triton_parts`.
"""

# Triton compiles these functions; what their arguments are at run time, Python cannot see.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from .triton_parts import factor, gelu_parts, head_sums, kernel, product, rows_of

__all__ = ["PLACES", "attention_kernel", "difference_kernel", "finish_kernel", "logits_kernel",
           "streams_kernel", "weights_kernel"]  # fmt: skip

PLACES = (
    *("query", "key", "own", "other"),  # gradients of what `gate_kernel` computes
    *("read", "towards", "difference"),  # what is read; the gradient of x - x * phi; itself
    *("logits", "hidden", "active"),  # gradients of the logits and before the GELU; after it
)


@kernel
def attention_kernel(
    first, second, valid, phi, up_first, up_second, buffer, num_tokens, packed, biases, scale,
    C: tl.constexpr, HEADS: tl.constexpr, HEAD: tl.constexpr, GROUPS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Places 0 to 4, for HEADS heads of HEAD channels."""
    kind: tl.constexpr = buffer.dtype.element_ty
    program = tl.program_id(0)
    i = program % 2
    row, exists, seen = rows_of(program // (2 * GROUPS), num_tokens, valid, ROWS)
    j = tl.arange(0, COLUMNS)
    n = (program // 2 % GROUPS) * HEADS * HEAD + j
    inside = (j < HEADS * HEAD) & (n < C)
    if i == 0:
        own, other, up = first, second, up_first
    else:
        own, other, up = second, first, up_second
    base = (i.to(tl.int64) * num_tokens + row) * C
    packed += i * C * C
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
        at = (row * C)[:, None] + k[None, :]
        x = tl.load(own + at, mask=mask, other=0.0)
        z = tl.load(other + at, mask=mask, other=0.0)
        upstream = tl.load(up + at, mask=mask, other=0.0)
        score = tl.load(phi + base[:, None] + k[None, :], mask=mask, other=0.0).to(tl.float32)
        wide = x.to(tl.float32)
        difference = factor(wide - wide * score, kind, PRECISION)
        x, z = factor(x, kind, PRECISION), factor(z, kind, PRECISION)
        upstream = factor(upstream, kind, PRECISION)
        w = packed + n[None, :] * C + k[:, None]
        w_query = tl.load(w, mask=w_mask, other=0.0)
        w_key = tl.load(w + 2 * C * C, mask=w_mask, other=0.0)
        w_value = tl.load(w + 4 * C * C, mask=w_mask, other=0.0)
        w_out = tl.load(packed + 6 * C * C + k[:, None] * C + n[None, :], mask=w_mask, other=0.0)
        query = tl.dot(x, w_query, query, input_precision=PRECISION)
        key = tl.dot(difference, w_key, key, input_precision=PRECISION)
        near = tl.dot(x, w_value, near, input_precision=PRECISION)
        far = tl.dot(z, w_value, far, input_precision=PRECISION)
        towards = tl.dot(upstream, w_out, towards, input_precision=PRECISION)
    bias = biases + i * C + n
    query += tl.load(bias, mask=inside, other=0.0)[None, :]
    key += tl.load(bias + 2 * C, mask=inside, other=0.0)[None, :]
    near += tl.load(bias + 4 * C, mask=inside, other=0.0)[None, :]
    far += tl.load(bias + 6 * C, mask=inside, other=0.0)[None, :]
    weight = tl.sigmoid(head_sums(query * key, HEADS, HEAD) * scale)
    towards_logit = head_sums(towards * (near - far), HEADS, HEAD)
    towards_logit = towards_logit * weight * (1.0 - weight) * scale
    size = num_tokens.to(tl.int64) * 2 * C
    to = buffer + base[:, None] + n[None, :]
    mask = exists[:, None] & inside[None, :]
    tl.store(to, (towards_logit * key).to(kind), mask=mask)
    tl.store(to + size, (towards_logit * query).to(kind), mask=mask)
    tl.store(to + 2 * size, (weight * towards).to(kind), mask=mask)
    tl.store(to + 3 * size, ((1.0 - weight) * towards).to(kind), mask=mask)
    tl.store(to + 4 * size, (far + weight * (near - far)).to(kind), mask=mask)


@kernel
def difference_kernel(
    first, second, valid, phi, buffer, sums, num_tokens, packed, C: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Places 5 and 6, and `sums` (blocks of columns, 2, N): phi times its gradient, added up."""
    kind: tl.constexpr = buffer.dtype.element_ty
    BLOCKS: tl.constexpr = (C + COLUMNS - 1) // COLUMNS
    program = tl.program_id(0)
    i = program % 2
    row, exists, seen = rows_of(program // (2 * BLOCKS), num_tokens, valid, ROWS)
    block = program // 2 % BLOCKS
    out = block * COLUMNS + tl.arange(0, COLUMNS)
    if i == 0:
        own = first
    else:
        own = second
    size = num_tokens.to(tl.int64) * 2 * C
    base = (i.to(tl.int64) * num_tokens + row) * C
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    total = product(total, buffer + size, base, exists, 1, packed + (2 + i) * C * C, out, kind, C,
                    DEPTH, C, 1, PRECISION).to(kind)  # fmt: skip
    at = base[:, None] + out[None, :]
    inside = (out < C)[None, :]
    x = tl.load(own + (row * C)[:, None] + out[None, :], mask=seen[:, None] & inside, other=0.0)
    score = tl.load(phi + at, mask=exists[:, None] & inside, other=0.0).to(tl.float32)
    wide = x.to(tl.float32)
    sum_at = (block * 2 + i).to(tl.int64) * num_tokens + row
    tl.store(sums + sum_at, -tl.sum(score * total.to(tl.float32) * wide, axis=1), mask=exists)
    mask = exists[:, None] & inside
    tl.store(buffer + 5 * size + at, total, mask=mask)
    tl.store(buffer + 6 * size + at, (wide - wide * score).to(kind), mask=mask)


@kernel
def logits_kernel(
    first, second, valid, phi, before, buffer, sums, num_tokens, packed, C: tl.constexpr,
    PARTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Places 7, 8 and 9; `before` is the discriminator before its GELU, `sums` has PARTS."""
    kind: tl.constexpr = buffer.dtype.element_ty
    BLOCKS: tl.constexpr = (C + COLUMNS - 1) // COLUMNS
    program = tl.program_id(0)
    i = program % 2
    row, exists, seen = rows_of(program // (2 * BLOCKS), num_tokens, valid, ROWS)
    block = program // 2 % BLOCKS
    out = block * COLUMNS + tl.arange(0, COLUMNS)
    if i == 0:
        own = first
    else:
        own = second
    size = num_tokens.to(tl.int64) * 2 * C
    base = (i.to(tl.int64) * num_tokens + row) * C
    mean = tl.zeros((ROWS,), tl.float32)
    for part in range(0, PARTS):
        sum_at = (part * 2 + i).to(tl.int64) * num_tokens + row
        mean += tl.load(sums + sum_at, mask=exists, other=0.0)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, C, DEPTH):
        k = start + tl.arange(0, DEPTH)
        inside = (k < C)[None, :]
        at = base[:, None] + k[None, :]
        x = tl.load(own + (row * C)[:, None] + k[None, :], mask=seen[:, None] & inside, other=0.0)
        towards = tl.load(buffer + 5 * size + at, mask=exists[:, None] & inside, other=0.0)
        score = tl.load(phi + at, mask=exists[:, None] & inside, other=0.0).to(tl.float32)
        towards = -towards.to(tl.float32) * x.to(tl.float32)
        towards = factor(score * (towards - mean[:, None]), kind, PRECISION)
        if block == 0:
            tl.store(buffer + 7 * size + at, towards, mask=exists[:, None] & inside)
        w = packed + 8 * C * C + k[:, None] * C + out[None, :]
        w = tl.load(w, mask=(k < C)[:, None] & (out < C)[None, :], other=0.0)
        total = tl.dot(towards, w, total, input_precision=PRECISION)
    at = base[:, None] + out[None, :]
    mask = exists[:, None] & (out < C)[None, :]
    hidden = tl.load(before + at, mask=mask, other=0.0).to(tl.float32)
    share, slope = gelu_parts(hidden)
    tl.store(buffer + 8 * size + at, (total * (share + slope)).to(kind), mask=mask)
    tl.store(buffer + 9 * size + at, (hidden * share).to(kind), mask=mask)


@kernel
def streams_kernel(
    valid, phi, up_first, up_second, buffer, to_first, to_second, num_tokens, packed, relation_in,
    C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of the streams (N, C), which are the upstream's where not valid."""
    kind: tl.constexpr = buffer.dtype.element_ty
    BLOCKS: tl.constexpr = (C + COLUMNS - 1) // COLUMNS
    program = tl.program_id(0)
    i = program % 2
    row, exists, seen = rows_of(program // (2 * BLOCKS), num_tokens, valid, ROWS)
    out = (program // 2 % BLOCKS) * COLUMNS + tl.arange(0, COLUMNS)
    if i == 0:
        up, to = up_first, to_first
    else:
        up, to = up_second, to_second
    size = num_tokens.to(tl.int64) * 2 * C
    base = (i.to(tl.int64) * num_tokens + row) * C
    cross = ((1 - i).to(tl.int64) * num_tokens + row) * C
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    total = product(total, buffer, base, exists, 1, packed + i * C * C, out, kind, C, DEPTH, C, 1,
                    PRECISION)  # fmt: skip
    total = product(total, buffer + 2 * size, base, exists, 1, packed + (4 + i) * C * C, out, kind,
                    C, DEPTH, C, 1, PRECISION)  # fmt: skip
    total = product(total, buffer + 3 * size, cross, exists, 1, packed + (5 - i) * C * C, out, kind,
                    C, DEPTH, C, 1, PRECISION)  # fmt: skip
    total = product(total, buffer + 8 * size, base, exists, 1, relation_in, out, kind, C, DEPTH,
                    2 * C, 1, PRECISION, IS_PACKED=False)  # fmt: skip
    total = product(total, buffer + 8 * size, cross, exists, 1, relation_in + C, out, kind, C,
                    DEPTH, 2 * C, 1, PRECISION, IS_PACKED=False)  # fmt: skip
    at = base[:, None] + out[None, :]
    mask = exists[:, None] & (out < C)[None, :]
    score = tl.load(phi + at, mask=mask, other=0.0).to(tl.float32)
    towards = tl.load(buffer + 5 * size + at, mask=mask, other=0.0).to(tl.float32)
    at = (row * C)[:, None] + out[None, :]
    upstream = tl.load(up + at, mask=mask, other=0.0)
    total += towards - towards * score + upstream.to(tl.float32)
    result = tl.where(seen[:, None], total.to(upstream.dtype), upstream)
    tl.store(to + at, result, mask=mask)


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
    i = job % 2
    column = column_block * COLUMNS + tl.arange(0, COLUMNS)
    half = num_tokens.to(tl.int64) * C
    size = 2 * half
    start = split * per_split
    stop = tl.minimum(start + per_split, num_tokens)
    if i == 0:
        own, other, up = first, second, up_first
    else:
        own, other, up = second, first, up_second
    left, right, left_2, right_2 = buffer + i * half, own, buffer + i * half, other
    stop_2 = start
    if (job >= 2) & (job < 4):
        left, right = buffer + size + i * half, buffer + 6 * size + i * half
    elif (job >= 4) & (job < 6):
        left, left_2 = buffer + 2 * size + i * half, buffer + 3 * size + i * half
        stop_2 = stop
    elif (job >= 6) & (job < 8):
        left, right = up, buffer + 4 * size + i * half
    elif job == 8:
        left, right = buffer + 7 * size, buffer + 9 * size
        left_2, right_2 = buffer + 7 * size + half, buffer + 9 * size + half
        stop_2 = stop
    elif job >= 9:  # near: x_0 and x_1; far: x_1 and x_0
        left, left_2 = buffer + 8 * size, buffer + 8 * size + half
        if job == 9:
            right, right_2 = first, second
        else:
            right, right_2 = second, first
        stop_2 = stop
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

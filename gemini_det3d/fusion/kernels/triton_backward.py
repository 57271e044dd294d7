"""The operator backwards, towards the streams: four kernels.

`attention` computes query, key, both values and what comes back through the out projection, of
some heads, and leaves the gradients of the four. `difference` takes that of the key back to
x - x * phi, `logits` goes on through softmax and GELU, `streams` adds up what reaches either
stream: five products in one sum.

What lies between the kernels is one buffer (10, 2, N, C) in the products' dtype, see `PLACES`.
Notation as in `functional`, the gate is u = 1 - a as in `block`; arguments as in `triton_parts`.
"""

# Triton compiles these functions; what their arguments are at run time, Python cannot see.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

import triton.language as tl

from .triton_parts import (
    either,
    factor,
    gelu_parts,
    head_sums,
    kernel,
    own_share,
    place_of,
    product,
    project_heads,
)

__all__ = ["PLACES", "attention_kernel", "difference_kernel", "logits_kernel", "streams_kernel"]

PLACES = (
    *("query", "key", "own", "other"),  # gradients of what `gate_kernel` computes
    *("read", "towards", "difference"),  # what is read; the gradient of x - x * phi; itself
    *("logits", "hidden", "active"),  # gradients of the logits and before the GELU; after it
)


@kernel
def attention_kernel(
    first, second, valid, bias, phi, up_first, up_second, buffer, of_bias, num_tokens, packed,
    biases, scale, C: tl.constexpr, HEADS: tl.constexpr, HEAD: tl.constexpr, GROUPS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Places 0 to 4, for HEADS heads of HEAD channels.

    `of_bias` (GROUPS, 2, N) takes the gradient of the bias, of these heads and either direction.
    """
    kind: tl.constexpr = buffer.dtype.element_ty
    i, group, row, exists, seen, base = place_of(num_tokens, valid, GROUPS, C, ROWS)
    j = tl.arange(0, COLUMNS)
    n = group * HEADS * HEAD + j
    inside = (j < HEADS * HEAD) & (n < C)
    query, key, near, far, towards = project_heads(
        either(i, first, second), either(i, second, first), phi, either(i, up_first, up_second),
        row * C, 1, base, seen, packed + i * C * C, biases + i * C, n, inside, C, ROWS, COLUMNS,
        DEPTH, kind, PRECISION, True,
    )  # fmt: skip
    weight = own_share(query * key, scale, bias, row, seen, i, HEADS, HEAD)
    towards_logit = head_sums(towards * (near - far), HEADS, HEAD) * weight * (1.0 - weight)
    if of_bias is not None:
        total = (2 * i - 1) * tl.sum(towards_logit, axis=1) / HEAD  # each head has HEAD columns
        at = (group * 2 + i).to(tl.int64) * num_tokens + row
        tl.store(of_bias + at, tl.where(seen, total, 0.0), mask=exists)
    towards_logit *= scale
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
    i, block, row, exists, seen, base = place_of(num_tokens, valid, BLOCKS, C, ROWS)
    out = block * COLUMNS + tl.arange(0, COLUMNS)
    own = either(i, first, second)
    size = num_tokens.to(tl.int64) * 2 * C
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
    i, block, row, exists, seen, base = place_of(num_tokens, valid, BLOCKS, C, ROWS)
    out = block * COLUMNS + tl.arange(0, COLUMNS)
    own = either(i, first, second)
    size = num_tokens.to(tl.int64) * 2 * C
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
    i, block, row, exists, seen, base = place_of(num_tokens, valid, BLOCKS, C, ROWS)
    out = block * COLUMNS + tl.arange(0, COLUMNS)
    up, to = either(i, up_first, up_second), either(i, to_first, to_second)
    size = num_tokens.to(tl.int64) * 2 * C
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

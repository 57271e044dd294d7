"""The operator forwards in four launches; `triton_single` is one for narrow streams.

`hidden` is the discriminator up to its GELU, and its spare programs pack the weights of the other
kernels in the dtype of the products: nothing is kept between calls that could go stale. `relation`
holds whole rows and leaves x - x * phi. `gate` computes query, key and both values of some heads
and stores only what the attention reads. `out` projects it and adds the stream.

With a tape (for the backward) the first two leave the discriminator before its GELU and phi.

Notation as in `functional`, the gate is u = 1 - a as in `block`; arguments as in `triton_parts`.
"""

# Triton compiles these functions; what their arguments are at run time, Python cannot see.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from .triton_parts import (
    either,
    factor,
    gelu,
    kernel,
    own_share,
    place_of,
    product,
    project_heads,
)

__all__ = ["gate_kernel", "hidden_kernel", "out_kernel", "pack_kernel", "relation_kernel"]


@triton.jit
def _pack(
    job, query_w, key_w, value_w, out_w, relation_w, in_bias, out_bias, relation_bias, key_noise,
    value_noise, packed, biases, C: tl.constexpr, ROWS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Some rows of one of nine weights: query, key, value, out of either direction, relation.

    `packed` (9, C, C) takes them in its dtype. `biases` (11, C) takes in float32, for either
    direction: query, key W_k k_noise, own value with W_v v_noise, other value, out; then relation.
    """
    matrix = job // tl.cdiv(C, ROWS)
    row = (job % tl.cdiv(C, ROWS)) * ROWS + tl.arange(0, ROWS)
    i = matrix % 2
    noise = value_noise
    if matrix < 2:
        weight = query_w
    elif matrix < 4:
        weight = key_w
        noise = key_noise
    elif matrix < 6:
        weight = value_w
    elif matrix < 8:
        weight = out_w
    else:
        weight = relation_w
    shift = tl.zeros((ROWS,), tl.float32)
    for start in range(0, C, DEPTH):
        k = start + tl.arange(0, DEPTH)
        at = row[:, None] * C + k[None, :]
        inside = (row < C)[:, None] & (k < C)[None, :]
        values = tl.load(weight + i * C * C + at, mask=inside, other=0.0)
        kept = factor(values, packed.dtype.element_ty, PRECISION)
        tl.store(packed + matrix * C * C + at, kept, mask=inside)
        added = tl.load(noise + i * C + k, mask=k < C, other=0.0)
        shift += tl.sum(values.to(tl.float32) * added.to(tl.float32)[None, :], axis=1)
    at, inside = biases + matrix * C + row, row < C
    if matrix < 2:
        tl.store(at, tl.load(in_bias + i * 3 * C + row, mask=inside), mask=inside)
    elif matrix < 4:
        tl.store(at, shift, mask=inside)
    elif matrix < 6:
        bias = tl.load(in_bias + i * 3 * C + 2 * C + row, mask=inside).to(tl.float32)
        tl.store(at, bias + shift, mask=inside)
        tl.store(at + 2 * C, bias, mask=inside)
    elif matrix < 8:
        tl.store(at + 2 * C, tl.load(out_bias + i * C + row, mask=inside), mask=inside)
    else:
        tl.store(at + 2 * C, tl.load(relation_bias + row, mask=inside), mask=inside)


@kernel
def pack_kernel(
    query_w, key_w, value_w, out_w, relation_w, in_bias, out_bias, relation_bias, key_noise,
    value_noise, packed, biases, C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Pack alone, for a backward whose forward left its tape."""
    _pack(tl.program_id(0), query_w, key_w, value_w, out_w, relation_w, in_bias, out_bias,
          relation_bias, key_noise, value_noise, packed, biases, C, COLUMNS, DEPTH,
          PRECISION)  # fmt: skip


@kernel
def hidden_kernel(
    first, second, valid, hidden, num_tokens, row_stride, column_stride, relation_in, relation_in_b,
    query_w, key_w, value_w, out_w, relation_w, in_bias, out_bias, relation_bias, key_noise,
    value_noise, packed, biases, C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr, WITH_TAPE: tl.constexpr,
):  # fmt: skip
    """`hidden` (2, N, C): GELU(W_1 [own ; other] + b_1), with a tape before the GELU."""
    BLOCKS: tl.constexpr = (C + COLUMNS - 1) // COLUMNS
    program = tl.program_id(0)
    num_tiles = tl.cdiv(num_tokens, ROWS) * 2 * BLOCKS
    if program >= num_tiles:
        _pack(program - num_tiles, query_w, key_w, value_w, out_w, relation_w, in_bias, out_bias,
              relation_bias, key_noise, value_noise, packed, biases, C, COLUMNS, DEPTH,
              PRECISION)  # fmt: skip
    else:
        kind: tl.constexpr = hidden.dtype.element_ty
        i, block, row, exists, seen, base = place_of(num_tokens, valid, BLOCKS, C, ROWS)
        out = block * COLUMNS + tl.arange(0, COLUMNS)
        own, other = either(i, first, second), either(i, second, first)
        total = tl.zeros((ROWS, COLUMNS), tl.float32)
        at = row * row_stride
        total = product(total, own, at, seen, column_stride, relation_in, out, kind, C, DEPTH, 1,
                        2 * C, PRECISION, IS_PACKED=False)  # fmt: skip
        total = product(total, other, at, seen, column_stride, relation_in + C, out, kind, C,
                        DEPTH, 1, 2 * C, PRECISION, IS_PACKED=False)  # fmt: skip
        total += tl.load(relation_in_b + out, mask=out < C, other=0.0).to(tl.float32)[None, :]
        if not WITH_TAPE:
            total = gelu(total)
        at = base[:, None] + out[None, :]
        tl.store(hidden + at, total.to(kind), mask=exists[:, None] & (out < C)[None, :])


@triton.jit
def _logits(
    hidden, at_row, exists, packed, biases, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    C: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr, WITH_TAPE: tl.constexpr,
):  # fmt: skip
    """(ROWS, COLUMNS) of the discriminator's logits; -inf beyond C."""
    kind: tl.constexpr = hidden.dtype.element_ty
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    total = product(total, hidden, at_row, exists, 1, packed + 8 * C * C, out, kind, C, DEPTH, 1, C,
                    PRECISION, WITH_TAPE)  # fmt: skip
    bias = tl.load(biases + 10 * C + out, mask=out < C, other=float("-inf"))
    return total + bias[None, :]


@kernel
def relation_kernel(
    first, second, valid, hidden, related, num_tokens, row_stride, column_stride, packed, biases,
    C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr, WITH_TAPE: tl.constexpr,
):  # fmt: skip
    """`related` (2, N, C): x - x * phi, with a tape phi; more columns than fit in two passes."""
    BLOCKS: tl.constexpr = (C + COLUMNS - 1) // COLUMNS
    i, _, row, exists, seen, at_row = place_of(num_tokens, valid, 1, C, ROWS)
    own = either(i, first, second)
    out = tl.arange(0, COLUMNS)
    logits = _logits(hidden, at_row, exists, packed, biases, out, ROWS, COLUMNS, C, DEPTH,
                     PRECISION, WITH_TAPE)  # fmt: skip
    top = tl.max(logits, axis=1)
    total = tl.sum(tl.exp(logits - top[:, None]), axis=1)
    for block in range(1, BLOCKS):
        logits = _logits(hidden, at_row, exists, packed, biases, block * COLUMNS + out, ROWS,
                         COLUMNS, C, DEPTH, PRECISION, WITH_TAPE)  # fmt: skip
        higher = tl.maximum(top, tl.max(logits, axis=1))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(logits - higher[:, None]), axis=1)
        top = higher
    for block in range(0, BLOCKS):
        column = block * COLUMNS + out
        if BLOCKS > 1:
            logits = _logits(hidden, at_row, exists, packed, biases, column, ROWS, COLUMNS, C,
                             DEPTH, PRECISION, WITH_TAPE)  # fmt: skip
        score = tl.exp(logits - top[:, None]) / total[:, None]
        inside = (column < C)[None, :]
        if not WITH_TAPE:
            at = (row * row_stride)[:, None] + column[None, :] * column_stride
            x = tl.load(own + at, mask=seen[:, None] & inside, other=0.0).to(tl.float32)
            score = x - x * score
        at = at_row[:, None] + column[None, :]
        tl.store(related + at, score.to(related.dtype.element_ty), mask=exists[:, None] & inside)


@kernel
def gate_kernel(
    first, second, valid, bias, related, read, num_tokens, row_stride, column_stride, packed,
    biases, scale, C: tl.constexpr, HEADS: tl.constexpr, HEAD: tl.constexpr, GROUPS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
    WITH_TAPE: tl.constexpr,
):  # fmt: skip
    """`read` (2, N, C): other + u (own - other) for HEADS heads of HEAD channels."""
    i, group, row, exists, seen, base = place_of(num_tokens, valid, GROUPS, C, ROWS)
    j = tl.arange(0, COLUMNS)
    n = group * HEADS * HEAD + j
    inside = (j < HEADS * HEAD) & (n < C)
    query, key, near, far, _ = project_heads(
        either(i, first, second), either(i, second, first), related, None, row * row_stride,
        column_stride, base, seen, packed + i * C * C, biases + i * C, n, inside, C, ROWS, COLUMNS,
        DEPTH, read.dtype.element_ty, PRECISION, WITH_TAPE,
    )  # fmt: skip
    weight = own_share(query * key, scale, bias, row, seen, i, HEADS, HEAD)
    at = base[:, None] + n[None, :]
    result = far + weight * (near - far)
    tl.store(read + at, result.to(read.dtype.element_ty), mask=exists[:, None] & inside[None, :])


@kernel
def out_kernel(
    first, second, valid, read, fused_first, fused_second, num_tokens, row_stride, column_stride,
    packed, biases, C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Fused streams (N, C): x + W_o read + b_o, and x itself where not valid."""
    BLOCKS: tl.constexpr = (C + COLUMNS - 1) // COLUMNS
    i, block, row, exists, seen, base = place_of(num_tokens, valid, BLOCKS, C, ROWS)
    out = block * COLUMNS + tl.arange(0, COLUMNS)
    own, fused = either(i, first, second), either(i, fused_first, fused_second)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    total = product(total, read, base, seen, 1, packed + (6 + i) * C * C, out,
                    read.dtype.element_ty, C, DEPTH, 1, C, PRECISION)  # fmt: skip
    total += tl.load(biases + (8 + i) * C + out, mask=out < C, other=0.0)[None, :]
    mask = exists[:, None] & (out < C)[None, :]
    at = (row * row_stride)[:, None] + out[None, :] * column_stride
    x = tl.load(own + at, mask=mask, other=0.0)
    result = (x.to(tl.float32) + total).to(x.dtype)
    result = tl.where(seen[:, None], result, x)
    tl.store(fused + (row * C)[:, None] + out[None, :], result, mask=mask)

"""The operator forwards in one launch, where all weights fit beside the tokens.

Notation as in `functional`, the gate is u = 1 - a as in `block`; arguments as in `triton_parts`.
"""

# Triton compiles these functions; what their arguments are at run time, Python cannot see.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from .triton_parts import factor, gelu, kernel, own_share, rows_of

__all__ = ["one_kernel"]


@triton.jit
def _whole(
    weight, IN: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr, KIND: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """W^T (WIDTH, WIDTH) of a weight (C, C) whose rows are IN apart."""
    k, n = tl.arange(0, WIDTH), tl.arange(0, WIDTH)
    mask = (k < C)[:, None] & (n < C)[None, :]
    values = tl.load(weight + n[None, :] * IN + k[:, None], mask=mask, other=0.0)
    return factor(values, KIND, PRECISION)


@triton.jit
def _one_way(
    x, z, i, gate_bias, row, seen, query_w, key_w, value_w, in_bias, out_w, out_bias, relation_in,
    relation_in_b, relation_out, relation_out_b, key_noise, value_noise, scale, C: tl.constexpr,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, KIND: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """What the out projection adds to x (ROWS, WIDTH), all weights read as they are."""
    n = tl.arange(0, WIDTH)
    inside, square = n < C, i * C * C
    own, other = factor(x, KIND, PRECISION), factor(z, KIND, PRECISION)
    wide = x.to(tl.float32)
    total = tl.dot(
        own, _whole(relation_in, 2 * C, C, WIDTH, KIND, PRECISION), input_precision=PRECISION
    )
    total = tl.dot(other, _whole(relation_in + C, 2 * C, C, WIDTH, KIND, PRECISION), total,
                   input_precision=PRECISION)  # fmt: skip
    bias = tl.load(relation_in_b + n, mask=inside, other=0.0).to(tl.float32)
    total = factor(gelu(total + bias[None, :]), KIND, PRECISION)
    total = tl.dot(
        total, _whole(relation_out, C, C, WIDTH, KIND, PRECISION), input_precision=PRECISION
    )
    bias = tl.load(relation_out_b + n, mask=inside, other=float("-inf")).to(tl.float32)
    total += bias[None, :]
    total = tl.exp(total - tl.max(total, axis=1)[:, None])
    noise = tl.load(key_noise + i * C + n, mask=inside, other=0.0).to(tl.float32)
    score = total / tl.sum(total, axis=1)[:, None]
    total = factor(wide - wide * score + noise[None, :], KIND, PRECISION)
    key = tl.dot(
        total, _whole(key_w + square, C, C, WIDTH, KIND, PRECISION), input_precision=PRECISION
    )
    query = tl.dot(
        own, _whole(query_w + square, C, C, WIDTH, KIND, PRECISION), input_precision=PRECISION
    )
    bias = tl.load(in_bias + i * 3 * C + n, mask=inside, other=0.0).to(tl.float32)
    products = (query + bias[None, :]) * key
    weight = own_share(products, scale, gate_bias, row, seen, i, HEADS, C // HEADS)
    noise = tl.load(value_noise + i * C + n, mask=inside, other=0.0).to(tl.float32)
    w_value = _whole(value_w + square, C, C, WIDTH, KIND, PRECISION)
    near = factor(wide + noise[None, :], KIND, PRECISION)
    near = tl.dot(near, w_value, input_precision=PRECISION)
    far = tl.dot(other, w_value, input_precision=PRECISION)
    bias = tl.load(in_bias + i * 3 * C + 2 * C + n, mask=inside, other=0.0).to(tl.float32)
    total = factor(far + weight * (near - far) + bias[None, :], KIND, PRECISION)
    total = tl.dot(
        total, _whole(out_w + square, C, C, WIDTH, KIND, PRECISION), input_precision=PRECISION
    )
    return total + tl.load(out_bias + i * C + n, mask=inside, other=0.0).to(tl.float32)[None, :]


@kernel
def one_kernel(
    first, second, valid, gate_bias, fused_first, fused_second, num_tokens, row_stride,
    column_stride, query_w, key_w, value_w, in_bias, out_w, out_bias, relation_in, relation_in_b,
    relation_out, relation_out_b, key_noise, value_noise, scale, C: tl.constexpr,
    HEADS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    KIND: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Everything, both directions, for C up to COLUMNS."""
    row, exists, seen = rows_of(tl.program_id(0), num_tokens, valid, ROWS)
    n = tl.arange(0, COLUMNS)
    at = (row * row_stride)[:, None] + n[None, :] * column_stride
    mask, inside = seen[:, None] & (n < C)[None, :], exists[:, None] & (n < C)[None, :]
    a = tl.load(first + at, mask=mask, other=0.0)
    b = tl.load(second + at, mask=mask, other=0.0)
    to = (row * C)[:, None] + n[None, :]
    for i in tl.static_range(2):
        x = a if i == 0 else b
        z = b if i == 0 else a
        added = _one_way(x, z, i, gate_bias, row, seen, query_w, key_w, value_w, in_bias, out_w,
                         out_bias, relation_in, relation_in_b, relation_out, relation_out_b,
                         key_noise, value_noise, scale, C, HEADS, COLUMNS, KIND,
                         PRECISION)  # fmt: skip
        result = (x.to(tl.float32) + added).to(x.dtype)
        stream = first if i == 0 else second
        fused = fused_first if i == 0 else fused_second
        if valid is not None:
            kept = tl.load(stream + at, mask=inside, other=0.0)
            result = tl.where(seen[:, None], result, kept)
        tl.store(fused + to, result, mask=inside)

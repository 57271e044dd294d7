"""Triton kernels of the two steps between the products: relation and gate, both ways.

Arithmetic in float32 whatever is stored. Importing this module needs Triton.

Shape shorthand: R rows, N tokens, C channels, h heads, d = C / h.
"""

# Kernels are launched by subscription, which pyright knows only where Triton is installed.
# pyright: reportIndexIssue=false
# Triton compiles these functions; what their arguments are at run time, Python cannot see.
# pyright: reportArgumentType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["gate", "gate_backward", "relation", "relation_backward"]

_GATE_ELEMENTS = 2048  # of a tile: tokens x channels of a head


@triton.jit
def _relation_kernel(stream, logits, out, channels, WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, WIDTH)
    inside = column < channels
    place = row * channels + column
    score = tl.load(logits + place, mask=inside, other=float("-inf")).to(tl.float32)
    score = tl.exp(score - tl.max(score, axis=0))
    score = score / tl.sum(score, axis=0)
    own = tl.load(stream + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, own - own * score, mask=inside)


@triton.jit
def _relation_backward_kernel(
    upstream, stream, logits, towards_stream, towards_logits, channels, WIDTH: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, WIDTH)
    inside = column < channels
    place = row * channels + column
    score = tl.load(logits + place, mask=inside, other=float("-inf")).to(tl.float32)
    score = tl.exp(score - tl.max(score, axis=0))
    score = score / tl.sum(score, axis=0)
    own = tl.load(stream + place, mask=inside, other=0.0).to(tl.float32)
    towards = tl.load(upstream + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(towards_stream + place, towards - towards * score, mask=inside)
    towards_score = -towards * own
    mean = tl.sum(score * towards_score, axis=0)
    tl.store(towards_logits + place, score * (towards_score - mean), mask=inside)


@triton.jit
def _gate_tile(num_tokens, channels, depth, TOKENS: tl.constexpr, WIDTH: tl.constexpr):
    """Offsets of one tile (TOKENS, WIDTH) of a head, for one direction."""
    token = tl.program_id(0).to(tl.int64) * TOKENS + tl.arange(0, TOKENS)[:, None]
    column = tl.arange(0, WIDTH)[None, :]
    direction = tl.program_id(2).to(tl.int64)
    inside = (token < num_tokens) & (column < depth)
    channel = tl.program_id(1) * depth + column
    place = (direction * num_tokens + token) * channels + channel
    own = (direction * num_tokens + token) * 2 + direction
    other = ((1 - direction) * num_tokens + token) * 2 + direction
    return place, own * channels + channel, other * channels + channel, inside


@triton.jit
def _gate_kernel(
    query,
    key,
    values,
    read,
    num_tokens,
    channels,
    depth,
    scale,
    TOKENS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    place, at_own, at_other, inside = _gate_tile(num_tokens, channels, depth, TOKENS, WIDTH)
    q = tl.load(query + place, mask=inside, other=0.0).to(tl.float32)
    k = tl.load(key + place, mask=inside, other=0.0).to(tl.float32)
    weight = tl.sigmoid(tl.sum(q * k, axis=1) * scale)[:, None]
    own = tl.load(values + at_own, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(values + at_other, mask=inside, other=0.0).to(tl.float32)
    tl.store(read + place, other + weight * (own - other), mask=inside)


@triton.jit
def _gate_backward_kernel(
    upstream,
    query,
    key,
    values,
    towards_query,
    towards_key,
    towards_values,
    num_tokens,
    channels,
    depth,
    scale,
    TOKENS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    place, at_own, at_other, inside = _gate_tile(num_tokens, channels, depth, TOKENS, WIDTH)
    q = tl.load(query + place, mask=inside, other=0.0).to(tl.float32)
    k = tl.load(key + place, mask=inside, other=0.0).to(tl.float32)
    weight = tl.sigmoid(tl.sum(q * k, axis=1) * scale)[:, None]
    own = tl.load(values + at_own, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(values + at_other, mask=inside, other=0.0).to(tl.float32)
    towards = tl.load(upstream + place, mask=inside, other=0.0).to(tl.float32)
    towards_weight = tl.sum(towards * (own - other), axis=1)[:, None]
    towards_logit = towards_weight * weight * (1 - weight) * scale
    tl.store(towards_query + place, towards_logit * k, mask=inside)
    tl.store(towards_key + place, towards_logit * q, mask=inside)
    tl.store(towards_values + at_own, weight * towards, mask=inside)
    tl.store(towards_values + at_other, (1 - weight) * towards, mask=inside)


def relation(stream: Tensor, logits: Tensor) -> Tensor:
    """x - x * softmax(logits) per row; both (R, C) contiguous."""
    out = torch.empty_like(stream)
    if out.numel():
        rows, channels = stream.shape
        width = triton.next_power_of_2(channels)
        _relation_kernel[(rows,)](stream, logits, out, channels, WIDTH=width)
    return out


def relation_backward(upstream: Tensor, stream: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `stream` and `logits`; all (R, C) contiguous."""
    out = torch.empty_like(stream), torch.empty_like(logits)
    if stream.numel():
        rows, channels = stream.shape
        width = triton.next_power_of_2(channels)
        tensors = (upstream, stream, logits, *out)
        _relation_backward_kernel[(rows,)](*tensors, channels, WIDTH=width)
    return out


def gate(query: Tensor, key: Tensor, values: Tensor, num_heads: int) -> Tensor:
    """What either direction reads, (2, N, C).

    Args:
        query: (2, N, C) contiguous.
        key: (2, N, C) contiguous, projected negated key differences.
        values: (2, N, 2C) contiguous: [value of direction 0 | of direction 1] of either stream.
        num_heads: h.
    """
    read = torch.empty_like(query)
    if read.numel():
        grid, sizes, tile = _launch(query, num_heads)
        _gate_kernel[grid](query, key, values, read, *sizes, **tile)
    return read


def gate_backward(
    upstream: Tensor, query: Tensor, key: Tensor, values: Tensor, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `query`, `key` and `values`; shapes as in `gate`."""
    out = torch.empty_like(query), torch.empty_like(key), torch.empty_like(values)
    if query.numel():
        grid, sizes, tile = _launch(query, num_heads)
        _gate_backward_kernel[grid](upstream, query, key, values, *out, *sizes, **tile)
    return out


def _launch(query: Tensor, num_heads: int) -> tuple[tuple, tuple, dict[str, int]]:
    """Grid (tokens, heads, directions): the token axis is the one without a limit of 65,535."""
    _, num_tokens, channels = query.shape
    depth = channels // num_heads
    width = triton.next_power_of_2(depth)
    tokens = max(1, min(_GATE_ELEMENTS // width, triton.next_power_of_2(num_tokens)))
    grid = (triton.cdiv(num_tokens, tokens), num_heads, 2)
    return grid, (num_tokens, channels, depth, depth**-0.5), {"TOKENS": tokens, "WIDTH": width}

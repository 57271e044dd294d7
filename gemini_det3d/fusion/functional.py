"""GeminiFusion as pure functions: two aligned streams read each other token by token.

The one obvious definition; everything faster is compared with it. Channel last, any leading axes.

Stream i attends to two keys only, a noisy copy of itself and itself weighted by how related its
partner j is (GeminiFusion, Jia et al., ICML 2024, section 3; arXiv 2406.01210):

    phi = softmax_C(MLP([x_i ; x_j]))                  relation discriminator, shared by directions
    K = [x_i + k_noise_i, x_i * phi]                   V = [x_i + v_noise_i, x_j]
    y_i = x_i + MHA_i(query x_i, K, V)

A softmax over two keys is a sigmoid of the difference of their logits, so the attention is a gate:

    a = sigmoid(<W_q x_i + b_q, W_k (x_i * phi - x_i - k_noise_i)> / sqrt(d))        one per head
    y_i = x_i + W_o [(1 - a) W_v (x_i + v_noise_i) + a W_v x_j + b_v] + b_o

The key bias cancels. Where the paper's text (a 1x1 convolution as discriminator, one noise for
both streams) and the released code (two-layer MLP, one noise row per direction) differ, the code
is followed.

Shape shorthand: `...` any leading axes, C channels, h heads, d = C / h.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import check_tensors, hide, keep_own

__all__ = [
    "FusionParameters",
    "attention_gate",
    "fuse_one_way",
    "gemini_fusion",
    "gemini_gates",
    "query_bias",
    "relation_score",
    "value_bias",
]


class FusionParameters(NamedTuple):
    """Parameters of both directions; direction i has stream i as its query.

    `in_bias` holds [query, key, value] of either direction as the released checkpoints do. Its
    key third cancels in the attention and is kept for them alone: its gradient is exactly zero.

    Attributes:
        query_weight: (2, C, C), one projection per direction.
        key_weight: (2, C, C).
        value_weight: (2, C, C).
        in_bias: (2, 3C).
        out_weight: (2, C, C).
        out_bias: (2, C).
        relation_in_weight: (C, 2C) on [query stream ; partner]; None without discriminator.
        relation_in_bias: (C,) or None.
        relation_out_weight: (C, C) or None.
        relation_out_bias: (C,) or None.
        key_noise: (2, C), or None without noise.
        value_noise: (2, C), or None without noise.
    """

    query_weight: Tensor
    key_weight: Tensor
    value_weight: Tensor
    in_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    relation_in_weight: Any = None
    relation_in_bias: Any = None
    relation_out_weight: Any = None
    relation_out_bias: Any = None
    key_noise: Any = None
    value_noise: Any = None


def query_bias(parameters: FusionParameters) -> Tensor:
    """(2, C), a function: compilers before PyTorch 2.6 know no properties of named tuples."""
    return parameters.in_bias.chunk(3, dim=1)[0]


def value_bias(parameters: FusionParameters) -> Tensor:
    """(2, C)."""
    return parameters.in_bias.chunk(3, dim=1)[2]


def gemini_fusion(
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    valid: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Fuse two aligned streams; both directions read the unfused inputs.

    Args:
        first: (..., C).
        second: (..., C).
        parameters: Of both directions.
        num_heads: h, a divisor of C.
        valid: Bool (...). Where False both tokens keep their own value bit by bit, and neither
            values nor gradients see the other stream. None: all are valid.
        bias: Float (...), added to the logit with which the first stream reads the second and
            taken off that of the other direction (see `reliability`). None: 0.

    Returns:
        Fused first and second, each (..., C).

    Raises:
        TypeError: A stream or a mask is no tensor, or `parameters` are of another type.
    """
    _check_types(first, second, parameters, valid, bias)
    seen_first, seen_second = hide(first, valid), hide(second, valid)
    fused_first = fuse_one_way(seen_first, seen_second, parameters, 0, num_heads, bias)
    fused_second = fuse_one_way(seen_second, seen_first, parameters, 1, num_heads, bias)
    return keep_own(valid, fused_first, first), keep_own(valid, fused_second, second)


def fuse_one_way(
    own: Tensor,
    other: Tensor,
    parameters: FusionParameters,
    direction: int,
    num_heads: int,
    bias: Tensor | None = None,
) -> Tensor:
    """One direction: the stream `own` (..., C) reads its twin in `other` (..., C).

    Args:
        own: (..., C), the query stream: stream `direction` of the pair.
        other: (..., C), the partner.
        parameters: Of both directions.
        direction: 0 when `own` is the first stream, 1 when it is the second.
        num_heads: h, a divisor of C.
        bias: As in `gemini_fusion`.

    Returns:
        (..., C).
    """
    gate = attention_gate(own, other, parameters, direction, num_heads, bias)[..., None]
    weight, bias = parameters.value_weight[direction], value_bias(parameters)[direction]
    heads = (num_heads, own.shape[-1] // num_heads)
    noisy = own if parameters.value_noise is None else own + parameters.value_noise[direction]
    value_own = F.linear(noisy, weight, bias).unflatten(-1, heads)
    value_other = F.linear(other, weight, bias).unflatten(-1, heads)
    read = ((1 - gate) * value_own + gate * value_other).flatten(-2)
    return own + F.linear(read, parameters.out_weight[direction], parameters.out_bias[direction])


def attention_gate(
    own: Tensor,
    other: Tensor,
    parameters: FusionParameters,
    direction: int,
    num_heads: int,
    bias: Tensor | None = None,
) -> Tensor:
    """How much each head of `own` (..., C) reads of `other`: (..., h) in [0, 1].

    Arguments as in `fuse_one_way`. Without discriminator the second key is the partner itself, as
    in plain cross-attention.
    """
    if parameters.relation_in_weight is None:
        key_difference = other - own
    else:
        key_difference = own * relation_score(own, other, parameters) - own
    if parameters.key_noise is not None:
        key_difference = key_difference - parameters.key_noise[direction]
    heads = (num_heads, own.shape[-1] // num_heads)
    query = F.linear(own, parameters.query_weight[direction], query_bias(parameters)[direction])
    key = F.linear(key_difference, parameters.key_weight[direction])
    query, key = query.unflatten(-1, heads), key.unflatten(-1, heads)
    if query.dtype in (torch.float16, torch.bfloat16):  # their products may leave half's range
        query, key = query.float(), key.float()
    logits = _inner(query, key) * key.shape[-1] ** -0.5
    if bias is not None:
        logits = logits + (bias if direction == 0 else -bias)[..., None]
    return torch.sigmoid(logits).to(own.dtype)


def _inner(query: Tensor, key: Tensor) -> Tensor:
    """Inner products along the last axis."""
    if torch.onnx.is_in_onnx_export():  # ONNX Runtime gives a sum over no tokens a wrong shape
        return (query[..., None, :] @ key[..., None])[..., 0, 0]
    return (query * key).sum(-1)


def relation_score(own: Tensor, other: Tensor, parameters: FusionParameters) -> Tensor:
    """Relation discriminator phi of the query stream and its partner: (..., C), sums to 1.

    The layers are shared by the two directions; the order [own ; other] tells them apart.
    """
    pair = torch.cat((own, other), dim=-1)
    hidden = F.gelu(F.linear(pair, parameters.relation_in_weight, parameters.relation_in_bias))
    logits = F.linear(hidden, parameters.relation_out_weight, parameters.relation_out_bias)
    return logits.softmax(dim=-1)


def gemini_gates(
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    valid: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """How much each stream reads of the other, to look at: two (..., h) in [0, 1].

    Arguments and errors as in `gemini_fusion`; tokens that are not valid read nothing, so their
    gate is 0.
    """
    _check_types(first, second, parameters, valid, bias)
    seen_first, seen_second = hide(first, valid), hide(second, valid)
    first_gate = attention_gate(seen_first, seen_second, parameters, 0, num_heads, bias)
    second_gate = attention_gate(seen_second, seen_first, parameters, 1, num_heads, bias)
    return hide(first_gate, valid), hide(second_gate, valid)


def _check_types(
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    valid: Tensor | None,
    bias: Tensor | None,
) -> None:
    masks = {"valid": valid, "bias": bias}
    given = {name: mask for name, mask in masks.items() if mask is not None}
    check_tensors("gemini_fusion", first=first, second=second, **given)
    if not isinstance(parameters, FusionParameters):
        kind = type(parameters).__name__
        raise TypeError(f"gemini_fusion: parameters must be FusionParameters, got {kind}")

"""The operator for few tokens: as few PyTorch calls as possible, both directions in each.

With few tokens time goes into starting operations and into reading the weights, not into
arithmetic. Here every weight is read once and autograd records about forty steps; they can be
traced and compiled. 16 C^2 multiply-adds per token pair.

Notation as in `functional`; the gate is u = 1 - a as in `block`, N tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional import FusionParameters

__all__ = ["compact_fusion"]

_HALVES = (torch.float16, torch.bfloat16)


def compact_fusion(
    first: Tensor, second: Tensor, parameters: FusionParameters, num_heads: int
) -> tuple[Tensor, Tensor]:
    """Fuse two streams (..., C); arguments as in `functional.gemini_fusion`."""
    p, channels = parameters, first.shape[-1]
    own = torch.stack((first.reshape(-1, channels), second.reshape(-1, channels)))  # (2, N, C)
    other = own.flip(0)
    query_bias, _, value_bias = p.in_bias.view(2, 3, 1, channels).unbind(1)
    query = torch.baddbmm(query_bias, own, p.query_weight.mT)
    key = torch.bmm(_negated_key_difference(own, other, p), p.key_weight.mT)
    pair = torch.cat((own + p.value_noise[:, None], other), dim=1)  # (2, 2N, C)
    heads = (2, -1, num_heads, channels // num_heads)
    values = torch.baddbmm(value_bias, pair, p.value_weight.mT).chunk(2, dim=1)
    value_own, value_other = (half.reshape(heads) for half in values)
    gate = _gate(query.view(heads), key.view(heads)).to(value_own.dtype)
    read = torch.lerp(value_other, value_own, gate).view(2, -1, channels)
    fused = own + torch.baddbmm(p.out_bias[:, None], read, p.out_weight.mT)
    fused_first, fused_second = fused.view(2, *first.shape).unbind()
    return fused_first, fused_second


def _negated_key_difference(own: Tensor, other: Tensor, p: FusionParameters) -> Tensor:
    """x - x * phi + k_noise, (2, N, C)."""
    pair = torch.cat((own, other), dim=-1)
    hidden = F.gelu(F.linear(pair, p.relation_in_weight, p.relation_in_bias))
    scores = F.linear(hidden, p.relation_out_weight, p.relation_out_bias).softmax(dim=-1)
    return torch.addcmul(p.key_noise[:, None], own, 1 - scores)


def _gate(query: Tensor, key: Tensor) -> Tensor:
    """(2, N, h, 1) from (2, N, h, C/h); half precision cannot hold the products."""
    if query.dtype in _HALVES:
        query, key = query.float(), key.float()
    return (query * key).sum(-1, keepdim=True).mul(key.shape[-1] ** -0.5).sigmoid()

"""The operator for few tokens: as few PyTorch calls as possible, both directions in each.

With few tokens time goes into starting operations and into reading the weights, not into
arithmetic. Here every weight is read once and autograd records about forty steps; they can be
traced and compiled. 14 C^2 multiply-adds per token pair, 16 C^2 in half precision and for a handful
of tokens with wide weights.

On a CPU the steps between the products round every token alike, wherever it stands: tokens are
padded where the remainder of a vector loop would round otherwise. The products are the library's,
and whether it multiplies the last rows as it does the others depends on processor and threads.

Notation as in `functional`; the gate is u = 1 - a as in `block`, N tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional import FusionParameters
from .precision import HALVES
from .torch_versions import autocast_dtype, is_compiling

__all__ = ["compact_fusion", "hidden_layer"]

# Tokens below and channels from which adding up weights costs more than it saves.
_HANDFUL, _WIDE = 8, 512
_EVEN = 128  # elements: whole vectors for up to four threads


def compact_fusion(
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Fuse two streams (..., C); arguments as in `functional.gemini_fusion`."""
    p, channels = parameters, first.shape[-1]
    own = torch.stack((first.reshape(-1, channels), second.reshape(-1, channels)))  # (2, N, C)
    other = own.flip(0)
    query_bias, _, value_bias = p.in_bias.view(2, 3, 1, channels).unbind(1)
    query = torch.baddbmm(query_bias, own, p.query_weight.mT)
    key = torch.bmm(_negated_key_difference(own, p), p.key_weight.mT)
    pair = torch.cat((own + p.value_noise[:, None], other), dim=1)  # (2, 2N, C)
    heads = (2, -1, num_heads, channels // num_heads)
    values = torch.baddbmm(value_bias, pair, p.value_weight.mT).chunk(2, dim=1)
    value_own, value_other = [half.reshape(heads) for half in values]
    shift = None if bias is None else torch.stack((-bias, bias)).view(2, -1, 1)
    gate = _gate(query.view(heads), key.view(heads), shift).to(value_own.dtype)
    read = torch.lerp(value_other, value_own, gate).view(2, -1, channels)
    projected = torch.baddbmm(p.out_bias[:, None], read, p.out_weight.mT)
    # two tensors, not views of one: whoever keeps or overwrites one leaves the other alone
    return first + projected[0].view(first.shape), second + projected[1].view(first.shape)


def _negated_key_difference(own: Tensor, p: FusionParameters) -> Tensor:
    """x - x * phi + k_noise, (2, N, C)."""
    hidden = _evenly(F.gelu, hidden_layer(own, p))
    scores = F.linear(hidden, p.relation_out_weight, p.relation_out_bias).softmax(dim=-1)
    return torch.addcmul(p.key_noise[:, None], own, 1 - scores)


def hidden_layer(streams: Tensor, p: FusionParameters) -> Tensor:
    """The discriminator before its GELU, both directions: (2, N, C) from both streams (2, N, C).

    From sum and difference of the streams (see `constants`), 2 C^2 multiply-adds. From the pairs
    themselves, 4 C^2, in half precision, which cannot hold sums and differences, and without
    gradients for a handful of tokens, where adding up wide weights takes longer than all products.
    """
    num_tokens, channels = streams.shape[1:]
    is_half = streams.dtype in HALVES or autocast_dtype(streams.device.type) is not None
    is_traced = torch.is_grad_enabled() or is_compiling()
    if is_half or (not is_traced and num_tokens < _HANDFUL and channels >= _WIDE):
        pairs = torch.cat((streams, streams.flip(0)), dim=-1)
        return F.linear(pairs, p.relation_in_weight, p.relation_in_bias)
    near, far = p.relation_in_weight.chunk(2, dim=1)
    half = 0.5 * streams
    of_sum = F.linear(half[0] + half[1], near + far, p.relation_in_bias)
    of_difference = F.linear(half[0] - half[1], near - far)
    return torch.stack((of_sum + of_difference, of_sum - of_difference))


def _gate(query: Tensor, key: Tensor, shift: Tensor | None) -> Tensor:
    """(2, N, h, 1) from (2, N, h, C/h) and (2, N, 1); half precision cannot hold the products."""
    if query.dtype in HALVES:
        query, key = query.float(), key.float()
    logits = (query * key).sum(-1).mul(key.shape[-1] ** -0.5)
    if shift is not None:
        logits = logits + shift
    return _evenly(torch.sigmoid, logits)[..., None]


def _evenly(step: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """An elementwise step on (2, N, W) that leaves a CPU's vector loops no remainder."""
    num_tokens, width = tensor.shape[1:]
    if tensor.device.type != "cpu" or is_compiling():
        return step(tensor)
    missing = -num_tokens % (_EVEN // gcd(width, _EVEN)) if num_tokens > 1 else 0
    return step(F.pad(tensor, (0, 0, 0, missing)))[:, :num_tokens] if missing else step(tensor)

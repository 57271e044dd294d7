"""The operator for GPUs: library products, and Triton kernels for what lies between them.

14 C^2 multiply-adds per token pair; 16 C^2 in half precision, which cannot hold sum and difference
of the streams. About twenty launches forwards, none with tokens as the batch of an attention.

Notation as in `functional`, the gate is u = 1 - a as in `block`; N tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional import FusionParameters
from . import triton_kernels
from .compact import hidden_layer
from .torch_versions import autocast_dtype

__all__ = ["fused_fusion", "gate", "plain_gate", "plain_relation", "relation"]


def fused_fusion(
    first: Tensor, second: Tensor, parameters: FusionParameters, num_heads: int
) -> tuple[Tensor, Tensor]:
    """Fuse two streams (..., C); arguments as in `functional.gemini_fusion`."""
    p, channels = parameters, first.shape[-1]
    own = torch.stack((first.reshape(-1, channels), second.reshape(-1, channels)))  # (2, N, C)
    kind = _product_dtype(own)
    x, p = own.to(kind), FusionParameters(*(tensor.to(kind) for tensor in p))
    hidden = F.gelu(hidden_layer(x, p))
    logits = F.linear(hidden, p.relation_out_weight, p.relation_out_bias)
    difference = relation(x.flatten(0, 1), logits.flatten(0, 1)).view_as(x)
    key_bias = torch.bmm(p.key_noise[:, None], p.key_weight.mT)
    key = torch.baddbmm(key_bias, difference, p.key_weight.mT)
    query = torch.baddbmm(p.query_bias[:, None], x, p.query_weight.mT)
    values = F.linear(x, p.value_weight.flatten(0, 1)) + _value_bias(p)
    read = gate(query, key, values, num_heads)
    projected = torch.baddbmm(p.out_bias[:, None], read, p.out_weight.mT)
    return first + projected[0].view(first.shape), second + projected[1].view(first.shape)


def _product_dtype(stream: Tensor) -> torch.dtype:
    lowered = autocast_dtype(stream.device.type) if stream.dtype != torch.float64 else None
    return lowered or stream.dtype


def _value_bias(p: FusionParameters) -> Tensor:
    """(2, 1, 2C): the value biases, and W_v v_noise where a direction reads its own stream."""
    shift = torch.bmm(p.value_noise[:, None], p.value_weight.mT)[:, 0]
    bias = torch.stack((p.value_bias, p.value_bias))  # stream, direction, C
    bias = bias + torch.diag_embed(shift.t()).permute(1, 2, 0)
    return bias.flatten(1)[:, None]


def plain_relation(stream: Tensor, logits: Tensor) -> Tensor:
    """What `relation` computes, in PyTorch."""
    return stream - stream * logits.softmax(dim=-1)


def plain_gate(query: Tensor, key: Tensor, values: Tensor, num_heads: int) -> Tensor:
    """What `gate` computes, in PyTorch."""
    channels = query.shape[-1]
    query, key, by_direction = (
        t.unflatten(-1, (-1, channels // num_heads))
        for t in (query, key, values.unflatten(-1, (2, channels)))
    )
    own = torch.stack((by_direction[0, :, 0], by_direction[1, :, 1]))
    other = torch.stack((by_direction[1, :, 0], by_direction[0, :, 1]))
    logit = (query * key).sum(-1, keepdim=True) * key.shape[-1] ** -0.5
    return torch.lerp(other, own, logit.sigmoid()).flatten(-2)


relation = torch.library.custom_op(
    "gemini_det3d::relation",
    triton_kernels.relation,
    mutates_args=(),
    schema="(Tensor stream, Tensor logits) -> Tensor",
)
"""x - x * softmax(logits) per row, both (R, C) contiguous."""

relation_backward = torch.library.custom_op(
    "gemini_det3d::relation_backward",
    triton_kernels.relation_backward,
    mutates_args=(),
    schema="(Tensor upstream, Tensor stream, Tensor logits) -> (Tensor, Tensor)",
)

gate = torch.library.custom_op(
    "gemini_det3d::gate",
    triton_kernels.gate,
    mutates_args=(),
    schema="(Tensor query, Tensor key, Tensor values, int num_heads) -> Tensor",
)
"""What either direction reads; arguments as in `triton_kernels.gate`."""

gate_backward = torch.library.custom_op(
    "gemini_det3d::gate_backward",
    triton_kernels.gate_backward,
    mutates_args=(),
    schema=(
        "(Tensor upstream, Tensor query, Tensor key, Tensor values, int num_heads)"
        " -> (Tensor, Tensor, Tensor)"
    ),
)


def _register(forward, backward, plain: Callable[..., Tensor], num_tensors: int) -> None:
    """Shapes and derivatives: the forward by the backward, the backward by the plain form."""

    def remember(ctx, inputs, output) -> None:
        ctx.save_for_backward(*(t for t in inputs if isinstance(t, Tensor)))
        ctx.rest = [value for value in inputs if not isinstance(value, Tensor)]

    def once(ctx, upstream: Tensor) -> tuple:
        gradients = backward(upstream.contiguous(), *ctx.saved_tensors, *ctx.rest)
        return (*gradients, *(None for _ in ctx.rest))

    def twice(ctx, *cotangents: Tensor) -> tuple:
        with torch.enable_grad():
            upstream, *tensors = (t.detach().requires_grad_() for t in ctx.saved_tensors)
            out = plain(*tensors, *ctx.rest)
            inner = torch.autograd.grad(out, tensors, upstream, create_graph=True)
            outer = torch.autograd.grad(inner, [upstream, *tensors], cotangents, allow_unused=True)
        return (*outer, *(None for _ in ctx.rest))

    forward.register_fake(lambda *inputs: torch.empty_like(inputs[0]))
    backward.register_fake(lambda *i: tuple(torch.empty_like(t) for t in i[1 : 1 + num_tensors]))
    forward.register_autograd(once, setup_context=remember)
    backward.register_autograd(twice, setup_context=remember)


_register(relation, relation_backward, plain_relation, num_tensors=2)
_register(gate, gate_backward, plain_gate, num_tensors=3)

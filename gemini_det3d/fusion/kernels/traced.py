"""The operator for `torch.compile`: nothing in place, so that the compiler fuses what it can.

All tokens at once, 14 C^2 multiply-adds per pair. Between two products the compiler leaves one loop
over memory; run eagerly every step is a pass of its own, and `compact` or `blockwise` are faster.

Of the forward the compiled backward keeps what `blockwise` keeps on its tape: products up to the
gate, from which all else follows without products, and nothing after it: the values are projected
again (4 C^2). Left to itself the compiler keeps twice as much.

Notation as in `block`, whose layouts these are: the discriminator on (N, C), its softmax along
rows; the attention on (C, N), where a head is C/h full rows and its gate a broadcast row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from ..functional import FusionParameters
from .constants import Constants, prepare_constants
from .torch_versions import is_compiling, without_autocast

__all__ = ["traced_fusion"]

_PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)


def traced_fusion(
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Fuse two streams (..., C); arguments as in `functional.gemini_fusion`.

    Computes in float32, or float64 for streams of float64.
    """
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    with without_autocast(first.device.type):
        constants = prepare_constants(parameters, num_heads, dtype, dtype, is_paired=False)
        streams = [stream.reshape(-1, stream.shape[-1]).to(dtype) for stream in (first, second)]
        shifts = () if bias is None else (-bias.reshape(-1), bias.reshape(-1))
        if torch.is_grad_enabled() and is_compiling():
            keep = partial(create_selective_checkpoint_contexts, _keep_products)
            gates = _checkpoint(_gates, streams, constants, shifts, context_fn=keep)
            fused = _checkpoint(_read, streams, gates, constants)
        else:
            fused = _read(streams, _gates(streams, constants, shifts), constants)
    return fused[0].view(first.shape).to(first.dtype), fused[1].view(first.shape).to(first.dtype)


def _checkpoint(step: Any, *inputs: Any, **options: Any) -> tuple[Tensor, Tensor]:
    return checkpoint(step, *inputs, use_reentrant=False, preserve_rng_state=False, **options)


def _keep_products(context: object, operator: object, *_: object, **__: object) -> CheckpointPolicy:
    is_product = operator in _PRODUCTS
    return CheckpointPolicy.MUST_SAVE if is_product else CheckpointPolicy.PREFER_RECOMPUTE


def _gates(
    streams: Sequence[Tensor], constants: Constants, shifts: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Weight of the own value, both directions, each (h, 1, N), from streams (N, C).

    What is added to its logits, (N,) each, is in `shifts`, which may be empty.
    """
    c = constants
    heads = (c.num_heads, c.channels // c.num_heads, -1)
    gates = []
    for i, hidden in enumerate(_hidden(streams, c)):
        scores = F.linear(F.gelu(hidden), c.relation_out_weight, c.relation_out_bias)
        difference = streams[i] - streams[i] * scores.softmax(dim=-1)
        query = torch.mm(c.query_weight[i], streams[i].t()) + c.query_bias[i]
        key = torch.mm(c.key_weight[i], difference.t()) + c.key_bias[i]
        logits = (query.view(heads) * key.view(heads)).sum(1, keepdim=True)
        logits = logits * heads[1] ** -0.5
        gates.append(torch.sigmoid(logits + shifts[i] if shifts else logits))
    return gates[0], gates[1]


def _hidden(streams: Sequence[Tensor], constants: Constants) -> tuple[Tensor, Tensor]:
    """The discriminator before its GELU, both directions, each (N, C)."""
    weight, bias = constants.relation_in_weight, constants.relation_in_bias
    of_sum = torch.addmm(bias, streams[0] + streams[1], weight[0].t())
    of_difference = torch.mm(streams[0] - streams[1], weight[1].t())
    return of_sum + of_difference, of_sum - of_difference


def _read(
    streams: Sequence[Tensor], gates: Sequence[Tensor], constants: Constants
) -> tuple[Tensor, Tensor]:
    """Fused streams (N, C)."""
    c = constants
    heads = (c.num_heads, c.channels // c.num_heads, -1)
    values = [torch.mm(c.value_weight, stream.t()).chunk(2) for stream in streams]
    fused = []
    for i, (stream, gate) in enumerate(zip(streams, gates)):
        own, other = (values[i][i] + c.value_shift[i]).view(heads), values[1 - i][i].view(heads)
        read = (other + gate * (own - other)).view(c.channels, -1)
        fused.append(stream + torch.addmm(c.out_bias[i], read.t(), c.out_weight[i].t()))
    return fused[0], fused[1]

"""One block of tokens: 14 C^2 multiply-adds per pixel pair forwards, 28 C^2 backwards.

The gate here is u = 1 - a, the weight on a stream's own value, because the negated key
difference x - x * phi is one fused step (`addcmul`):

    u = sigmoid(<W_q x + b_q, W_k (x - x * phi) + W_k k_noise> / sqrt(C / h))
    read = other + u (own - other),   own = W_v x + W_v v_noise,   other = W_v x_partner

Notation as in `functional` and `workspace`. All tensors of a block have dtype E, only the products
may run lower.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .constants import Constants, Gradients
from .products import accumulate, product
from .workspace import TrainingWorkspace, Workspace

__all__ = ["backward_block", "forward_block", "replay_block"]


def forward_block(
    streams: Sequence[Tensor],
    constants: Constants,
    w: Workspace,
    out: Sequence[Tensor] | None = None,
    bias: Tensor | None = None,
) -> None:
    """Fuse two streams (M, C) into `out`; without `out` only fill the workspace.

    With `bias` (M, 1) added to the logit of the first direction and taken off the second's.
    """
    _relate(streams, constants, w)
    _differ(streams, w)
    product(constants.key_weight, w.difference.transpose(1, 2), out=w.key)
    w.key.add_(constants.key_bias)
    for i in (0, 1):
        product(constants.query_weight[i], streams[i].t(), out=w.query[i])
        w.query[i].add_(constants.query_bias[i])
    _project_values(streams, constants, w)
    _weigh(w, bias)
    _read(w)
    if out is not None:
        for i in (0, 1):
            # the stream last: it is rounded once then, as a sum of three would not be
            projected = w.projected[i].copy_(constants.out_bias[i])
            accumulate(projected, w.read[i].t(), constants.out_weight[i].t(), constants.dtype)
            torch.add(streams[i], projected, out=out[i])


def replay_block(streams: Sequence[Tensor], constants: Constants, w: Workspace) -> None:
    """Fill the workspace as `forward_block` does, where the tape is there already."""
    torch.ops.aten.gelu.out(w.all_hidden, out=w.all_active)
    _differ(streams, w)
    _project_values(streams, constants, w)
    _read(w)


def _relate(streams: Sequence[Tensor], constants: Constants, w: Workspace) -> None:
    """Relation discriminator of both directions: `phi`."""
    _pair(streams, constants, w.pair)
    weight = constants.relation_in_weight
    if constants.is_paired:
        for i in (0, 1):
            product(w.pair, weight[i].t(), out=w.hidden[i])
        w.hidden.add_(constants.relation_in_bias)
    else:
        product(w.pair, weight.transpose(1, 2), out=w.split)
        w.split[0].add_(constants.relation_in_bias)
        torch.add(w.split[0], w.split[1], out=w.hidden[0])
        torch.sub(w.split[0], w.split[1], out=w.hidden[1])
    torch.ops.aten.gelu.out(w.all_hidden, out=w.all_active)
    product(w.active, constants.relation_out_weight.t().expand(2, -1, -1), out=w.phi)
    w.phi.add_(constants.relation_out_bias)
    for scores in w.phi:
        torch.softmax(scores, dim=-1, out=scores)


def _differ(streams: Sequence[Tensor], w: Workspace) -> None:
    for i in (0, 1):
        torch.addcmul(streams[i], streams[i], w.phi[i], value=-1, out=w.difference[i])


def _pair(streams: Sequence[Tensor], constants: Constants, out: Tensor) -> None:
    if constants.is_paired:
        for half, stream in zip(out.chunk(2, dim=1), streams):
            half.copy_(stream)
    else:
        torch.add(*streams, out=out[0])
        torch.sub(*streams, out=out[1])


def _project_values(streams: Sequence[Tensor], constants: Constants, w: Workspace) -> None:
    for i in (0, 1):
        product(constants.value_weight, streams[i].t(), out=w.values[i])
        w.own[i].add_(constants.value_shift[i])


def _weigh(w: Workspace, bias: Tensor | None) -> None:
    """Gate of both directions."""
    for i in (0, 1):
        torch.mul(w.query[i], w.key[i], out=w.product[i])
    heads = w.heads(w.all_product)
    torch.sum(heads, dim=2, out=w.all_gate)
    # a sigmoid in steps that round alike in vector and remainder loops
    w.all_gate.mul_(-(heads.shape[2] ** -0.5))
    if bias is not None:
        w.gate[0].add_(bias.t())
        w.gate[1].sub_(bias.t())
    w.all_gate.exp_().add_(1).reciprocal_()


def _read(w: Workspace) -> None:
    for i in (0, 1):
        own, other, read = (w.heads(t) for t in (w.own[i], w.other[i], w.read[i]))
        torch.lerp(other, own, w.gate_rows[i], out=read)


def backward_block(
    streams: Sequence[Tensor],
    upstream: Sequence[Tensor],
    constants: Constants,
    w: TrainingWorkspace,
    sums: Gradients | None,
    out: Sequence[Tensor],
    towards_bias: Tensor | None = None,
) -> None:
    """Gradients of one block.

    Args:
        streams: First and second, each (M, C).
        upstream: Gradients of the fused streams, each (M, C).
        constants: As in the forward.
        w: A training workspace, filled by the forward. The tape is only read, the rest used up.
        sums: Gradients of the constants, to which this block's share is added; None: not wanted.
        out: Gradients of the streams, each (M, C); overwritten.
        towards_bias: (M,) zeros, where the forward had a bias, to which its gradient is added.
    """
    _attention_backward(upstream, constants, w, sums, towards_bias)
    if sums is not None:
        accumulate(sums.key_weight, w.towards_key, w.difference, constants.dtype)
    towards_difference = w.split
    product(w.towards_key.transpose(1, 2), constants.key_weight, out=towards_difference)
    for i in (0, 1):
        torch.add(upstream[i], towards_difference[i], out=out[i])
        out[i].addcmul_(towards_difference[i], w.phi[i], value=-1)
        towards_difference[i].mul_(streams[i])
    _relation_backward(streams, towards_difference, constants, w, sums, out)
    for i in (0, 1):
        towards_query, towards_values = w.towards_query[i], w.values[i]
        accumulate(out[i], towards_query.t(), constants.query_weight[i], constants.dtype)
        accumulate(out[i], towards_values.t(), constants.value_weight, constants.dtype)
        if sums is not None:
            accumulate(sums.query_weight[i], towards_query, streams[i], constants.dtype)
            accumulate(sums.value_weight, towards_values, streams[i], constants.dtype)


def _attention_backward(
    upstream: Sequence[Tensor],
    constants: Constants,
    w: TrainingWorkspace,
    sums: Gradients | None,
    towards_bias: Tensor | None,
) -> None:
    """Leave the gradient of query and values in their places and that of `key` in `read`."""
    towards_read = w.product
    for i in (0, 1):
        if sums is not None:
            accumulate(sums.out_weight[i], upstream[i].t(), w.read[i].t(), constants.dtype)
            sums.out_bias[i].add_(upstream[i].sum(0))
        product(constants.out_weight[i].t(), upstream[i].t(), out=towards_read[i])
        own, other, scratch = w.own[i], w.other[i], w.read[i]
        torch.sub(own, other, out=scratch).mul_(towards_read[i])
        gate = w.gate_rows[i]
        towards_logit = w.heads(scratch).sum(1, keepdim=True).mul_(gate).mul_(1 - gate)
        if towards_bias is not None:  # the logit here is that of 1 - a
            towards_bias.add_(towards_logit.sum((0, 1)), alpha=2 * i - 1)
        towards_logit.mul_((constants.channels // constants.num_heads) ** -0.5)
        torch.mul(w.heads(towards_read[i]), gate, out=w.heads(own))
        torch.sub(towards_read[i], own, out=other)
        torch.mul(w.heads(w.query[i]), towards_logit, out=w.heads(scratch))
        torch.mul(w.heads(w.key[i]), towards_logit, out=w.heads(w.towards_query[i]))
        if sums is not None:
            sums.query_bias[i].add_(w.towards_query[i].sum(1))
            sums.value_shift[i].add_(own.sum(1))
            sums.key_bias[i].add_(scratch.sum(1))


def _relation_backward(
    streams: Sequence[Tensor],
    towards_score: Tensor,
    constants: Constants,
    w: TrainingWorkspace,
    sums: Gradients | None,
    out: Sequence[Tensor],
) -> None:
    """Take the discriminator's share off `out`, from minus the gradient of phi (2, M, C)."""
    aten, towards_hidden = torch.ops.aten, w.active
    for towards, scores, active in zip(towards_score, w.phi, w.active):
        aten._softmax_backward_data.out(towards, scores, -1, scores.dtype, grad_input=towards)
        if sums is not None:
            accumulate(sums.relation_out_weight, towards.t(), active, constants.dtype, -1)
            sums.relation_out_bias.sub_(towards.sum(0))
        product(towards, constants.relation_out_weight, out=active)
    aten.gelu_backward.grad_input(towards_hidden, w.hidden, grad_input=towards_hidden)
    _pair(streams, constants, w.pair)
    if constants.is_paired:
        _pairs_backward(towards_hidden, constants, w, sums, out)
    else:
        _sums_backward(towards_hidden, constants, w, sums, out)


def _pairs_backward(
    towards_hidden: Tensor,
    constants: Constants,
    w: TrainingWorkspace,
    sums: Gradients | None,
    out: Sequence[Tensor],
) -> None:
    weight, towards_pair = constants.relation_in_weight, w.split_pairs
    if sums is not None:
        sums.relation_in_bias.sub_(towards_hidden.sum((0, 1)))
        for i in (0, 1):
            left = towards_hidden[i].t()
            accumulate(sums.relation_in_weight[i], left, w.pair, constants.dtype, -1)
    product(towards_hidden[0], weight[0], out=towards_pair)
    accumulate(towards_pair, towards_hidden[1], weight[1], constants.dtype)
    for i, half in enumerate(towards_pair.chunk(2, dim=1)):
        out[i].sub_(half)


def _sums_backward(
    towards_hidden: Tensor,
    constants: Constants,
    w: TrainingWorkspace,
    sums: Gradients | None,
    out: Sequence[Tensor],
) -> None:
    towards_split, towards_pair = w.towards_split, w.split
    torch.add(towards_hidden[0], towards_hidden[1], out=towards_split[0])
    torch.sub(towards_hidden[0], towards_hidden[1], out=towards_split[1])
    if sums is not None:
        sums.relation_in_bias.sub_(towards_split[0].sum(0))
        left = towards_split.transpose(1, 2)
        accumulate(sums.relation_in_weight, left, w.pair, constants.dtype, -1)
    product(towards_split, constants.relation_in_weight, out=towards_pair)
    out[0].sub_(towards_pair[0]).sub_(towards_pair[1])
    out[1].sub_(towards_pair[0]).add_(towards_pair[1])

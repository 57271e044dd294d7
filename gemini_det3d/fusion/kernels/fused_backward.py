"""What the fused form launches backwards, and with which tiles: 7 kernels.

Notation as in `fused_launches`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..functional import FusionParameters
from . import triton_backward, triton_forward, triton_weights
from .fused_launches import launch_relation, room_for_packed, sources
from .fused_problem import Problem, as_it_lies, make_problem
from .triton_parts import device_of

__all__ = ["backward"]

_LEAST_PROGRAMS = 2200  # of the weights' gradient: 16 for each of an H200's multiprocessors
_FINISH_DEPTH, _FINISH_WARPS = 16, 8  # others spill at 24 or 64 channels
_CHUNK = 1024  # tokens that are added up in one stretch: longer sums lose digits


def backward(
    first: Tensor,
    second: Tensor,
    valid: Tensor | None,
    parameters: FusionParameters,
    num_heads: int,
    dtype: torch.dtype,
    tape: Tensor,
    upstream: tuple[Tensor, Tensor],
    with_parameters: bool,
    bias: Tensor | None = None,
    towards_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, FusionParameters | None]:
    """Gradients of first and second, each (..., C), and of the parameters or None.

    What the forward takes is as there. `tape` is what it left; where it is empty the discriminator
    is computed again. `upstream` are the gradients of the fused streams, each (..., C). Those of
    the parameters are found `with_parameters`; that of the bias fills `towards_bias`, zeros of its
    shape, if given.
    """
    towards = [torch.empty(first.shape, dtype=first.dtype, device=first.device) for _ in "ab"]
    gradients = None
    if not first.numel():
        if with_parameters:
            gradients = FusionParameters(*(torch.zeros_like(p) for p in parameters))
        return towards[0], towards[1], gradients
    with device_of(first):
        own, other = (stream.to(dtype).contiguous() for stream in (first, second))
        ups = [as_it_lies(up.reshape(-1, first.shape[-1])) for up in upstream]
        more = (*ups, *towards)
        problem = make_problem(own, other, valid, bias, parameters, num_heads, dtype, more)
        if tape.shape[2]:
            weights = _launch_pack(problem)
        else:
            tape = problem.new(2, 2, problem.num_tokens, problem.channels)
            weights = launch_relation(problem, tape)[:2]
        work = _Work(problem, tape[0], tape[1], [up.to(dtype) for up in ups], *weights)
        buffer = _launch_towards(work, ups, towards, towards_bias)
        if with_parameters:
            found = _launch_parameters(work, buffer)
            pairs = zip(found, parameters)
            gradients = FusionParameters(
                *(g if g.dtype == p.dtype else g.to(p.dtype) for g, p in pairs)
            )
    return towards[0], towards[1], gradients


class _Work(NamedTuple):
    """What the kernels of the backward share: tape, upstream in E, packed weights."""

    problem: Problem
    before: Tensor
    phi: Tensor
    ups: list[Tensor]
    weights: Tensor
    biases: Tensor


def _launch_pack(problem: Problem) -> tuple[Tensor, Tensor]:
    used, weights = problem.tile("hidden"), room_for_packed(problem)
    jobs = 9 * -(-problem.channels // used.columns)
    arguments = (*sources(problem.parameters), *weights)
    problem.launch(triton_forward.pack_kernel, jobs, used, *arguments)
    return weights


def _launch_towards(
    work: _Work, ups: list[Tensor], towards: list[Tensor], towards_bias: Tensor | None
) -> Tensor:
    """Launch what leads to the streams; returns the buffer (10, 2, N, C)."""
    problem, phi, weights = work.problem, work.phi, work.weights
    n, c = problem.num_tokens, problem.channels
    buffer = problem.new(len(triton_backward.PLACES), 2, n, c)
    groups = problem.groups()
    of_bias = None
    if towards_bias is not None:
        of_bias = problem.new(groups.count, 2, n, dtype=torch.float32)
    used = problem.tile("attention", groups.width)
    problem.launch(
        triton_backward.attention_kernel, -(-n // used.rows) * groups.count * 2, used,
        *problem.rows, problem.bias, phi, *work.ups, buffer, of_bias, n, weights, work.biases,
        problem.scale, HEADS=groups.heads, HEAD=c // problem.num_heads, GROUPS=groups.count,
    )  # fmt: skip
    if towards_bias is not None and of_bias is not None:
        towards_bias.copy_(of_bias.sum((0, 1)).view_as(towards_bias))
    used = problem.tile("difference")
    sums = problem.new(-(-c // used.columns), 2, n, dtype=torch.float32)
    problem.launch(
        triton_backward.difference_kernel, problem.blocks(used), used, *problem.rows, phi, buffer,
        sums, n, weights,
    )  # fmt: skip
    used = problem.tile("logits")
    problem.launch(
        triton_backward.logits_kernel, problem.blocks(used), used, *problem.rows, phi,
        work.before, buffer, sums, n, weights, PARTS=len(sums),
    )  # fmt: skip
    used = problem.tile("streams")
    problem.launch(
        triton_backward.streams_kernel, problem.blocks(used), used, problem.valid, phi, *ups,
        buffer, *towards, n, weights, problem.parameters.relation_in_weight,
    )  # fmt: skip
    return buffer


def _launch_parameters(work: _Work, buffer: Tensor) -> list[Tensor]:
    """Launch what leads to the parameters; returns their gradients."""
    problem, p = work.problem, work.problem.parameters
    gradients = [torch.empty_like(parameter) for parameter in p]
    n, c = problem.num_tokens, problem.channels
    used = problem.tile("weights")
    tiles = 11 * -(-c // used.rows) * -(-c // used.columns)
    chunks = -(-n // _CHUNK)
    per_split = -(-chunks // min(chunks, -(-_LEAST_PROGRAMS // tiles))) * _CHUNK
    splits = -(-n // per_split)
    partial = problem.new(splits, 11, c, c, dtype=torch.float32)
    sums = problem.new(splits, 11, 2, c, dtype=torch.float32)
    problem.launch(
        triton_weights.weights_kernel, tiles * splits, used, *problem.rows, *work.ups, buffer,
        partial, sums, n, per_split, CHUNK=_CHUNK,
    )  # fmt: skip
    used = used._replace(rows=min(used.rows, 32), depth=_FINISH_DEPTH, num_warps=_FINISH_WARPS)
    problem.launch(
        triton_weights.finish_kernel, 15 * -(-c // used.rows), used, p.key_weight,
        p.value_weight, p.key_noise, p.value_noise, partial, sums, *gradients, splits,
    )  # fmt: skip
    return gradients

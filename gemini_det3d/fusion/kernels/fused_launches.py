"""What the fused form launches forwards, and with which tiles: 1 or 4 kernels.

Notation as in `functional`. E is the dtype of the products, in which everything between the
kernels is stored; N tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..functional import FusionParameters
from . import triton_forward, triton_single
from .fused_problem import Problem, make_problem
from .tiles import is_narrow
from .triton_parts import DTYPES, device_of

__all__ = ["Packed", "forward", "launch_relation", "room_for_packed", "sources", "tape_like"]

_MOST_WITH_BIAS = 32  # channels of float32 whose single kernel has room for a bias


def tape_like(first: Tensor, dtype: torch.dtype, with_tape: bool) -> Tensor:
    """Empty tape (2, 2, N, C) in E: the discriminator before its GELU, and phi; or nothing."""
    channels = first.shape[-1]
    num_tokens = first.numel() // channels if with_tape else 0
    return torch.empty((2, 2, num_tokens, channels), dtype=dtype, device=first.device)


def forward(
    first: Tensor,
    second: Tensor,
    valid: Tensor | None,
    parameters: FusionParameters,
    num_heads: int,
    dtype: torch.dtype,
    tape: Tensor | None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Fused streams (..., C) in the streams' dtype, contiguous.

    Args:
        first: (..., C) of any strides.
        second: (..., C) of the same dtype.
        valid: Bool (...) or None.
        parameters: With noise and discriminator, of any dtypes.
        num_heads: h.
        dtype: E.
        tape: As `tape_like` makes it, to be filled with what spares the backward the
            discriminator; empty or None: nothing is left.
        bias: Float32 (...) or None, as in `functional.gemini_fusion`.
    """
    fused = (
        torch.empty(first.shape, dtype=first.dtype, device=first.device),
        torch.empty(first.shape, dtype=first.dtype, device=first.device),
    )
    if fused[0].numel():
        with device_of(first):
            has_tape = tape is not None and tape.shape[2] > 0
            problem = make_problem(first, second, valid, bias, parameters, num_heads, dtype)
            if _is_one_kernel(problem) and not has_tape:
                _launch_one(problem, fused)
            else:
                _launch_read(problem, launch_relation(problem, tape if has_tape else None), fused)
    return fused


def _is_one_kernel(problem: Problem) -> bool:
    """Whether everything fits one kernel; with a bias 64 channels in tf32 spill."""
    is_too_much = problem.bias is not None and problem.dtype == torch.float32
    return is_narrow(problem.channels, problem.is_exact) and not (
        is_too_much and problem.channels > _MOST_WITH_BIAS
    )


def _launch_one(problem: Problem, fused: tuple[Tensor, Tensor]) -> None:
    p, used = problem.parameters, problem.tile("one")
    problem.launch(
        triton_single.one_kernel, -(-problem.num_tokens // used.rows), used,
        *problem.rows, problem.bias, *fused, *problem.strides, p.query_weight, p.key_weight,
        p.value_weight, p.in_bias, p.out_weight, p.out_bias, p.relation_in_weight,
        p.relation_in_bias, p.relation_out_weight, p.relation_out_bias, p.key_noise,
        p.value_noise, problem.scale,
        HEADS=problem.num_heads, KIND=DTYPES[problem.dtype],
    )  # fmt: skip


class Packed(NamedTuple):
    """What the first two kernels leave: see `triton_forward`."""

    weights: Tensor  # (9, C, C) in E
    biases: Tensor  # (11, C) float32
    related: Tensor  # (2, N, C) in E: x - x * phi, or phi on the tape
    read: Tensor  # (2, N, C) in E: room for what the attention reads
    with_tape: bool


def sources(p: FusionParameters) -> tuple[Tensor, ...]:
    """What is packed, in the order in which the kernels take it."""
    return (
        *(p.query_weight, p.key_weight, p.value_weight, p.out_weight, p.relation_out_weight),
        *(p.in_bias, p.out_bias, p.relation_out_bias, p.key_noise, p.value_noise),
    )


def room_for_packed(problem: Problem) -> tuple[Tensor, Tensor]:
    """Empty `weights` and `biases`."""
    c = problem.channels
    return problem.new(9, c, c), problem.new(11, c, dtype=torch.float32)


def launch_relation(problem: Problem, tape: Tensor | None) -> Packed:
    """Launch the discriminator, whose spare programs pack the weights."""
    n, c = problem.num_tokens, problem.channels
    p, with_tape = problem.parameters, tape is not None
    hidden, related = problem.new(2, 2, n, c) if tape is None else tape
    weights = room_for_packed(problem)
    used = problem.tile("hidden")
    programs = problem.blocks(used) + 9 * -(-c // used.columns)
    arguments = (p.relation_in_weight, p.relation_in_bias, *sources(p), *weights)
    problem.launch(
        triton_forward.hidden_kernel, programs, used, *problem.rows, hidden, *problem.strides,
        *arguments, WITH_TAPE=with_tape,
    )  # fmt: skip
    used = problem.tile("relation")
    problem.launch(
        triton_forward.relation_kernel, -(-n // used.rows) * 2, used, *problem.rows, hidden,
        related, *problem.strides, *weights, WITH_TAPE=with_tape,
    )  # fmt: skip
    read = problem.new(2, n, c) if with_tape else hidden
    return Packed(*weights, related, read, with_tape)


def _launch_read(problem: Problem, packed: Packed, fused: tuple[Tensor, Tensor]) -> None:
    n, c = problem.num_tokens, problem.channels
    weights, groups = (packed.weights, packed.biases), problem.groups()
    used = problem.tile("gate", groups.width)
    problem.launch(
        triton_forward.gate_kernel, -(-n // used.rows) * groups.count * 2, used,
        *problem.rows, problem.bias, packed.related, packed.read, *problem.strides, *weights,
        problem.scale,
        HEADS=groups.heads, HEAD=c // problem.num_heads, GROUPS=groups.count,
        WITH_TAPE=packed.with_tape,
    )  # fmt: skip
    used = problem.tile("out")
    problem.launch(
        triton_forward.out_kernel, problem.blocks(used), used, *problem.rows, packed.read, *fused,
        *problem.strides, *weights,
    )  # fmt: skip

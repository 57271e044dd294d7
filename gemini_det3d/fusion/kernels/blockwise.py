"""The operator on the CPU: all tokens, block by block, with a hand-written backward.

See `block` for the arithmetic. Nothing of the size of the streams is allocated except the outputs
and, when the backward shall not repeat the forward, the tape. Where there are blocks enough for all
threads each computes its own, in memory of its own (`parallel`); where there are not, the threads
share each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..functional import FusionParameters
from .block import backward_block, forward_block, replay_block
from .constants import (
    Constants,
    Gradients,
    add_gradients,
    finish_gradients,
    prepare_constants,
    start_gradients,
)
from .division import Division, divide
from .parallel import for_each
from .staging import copy_rows, mask_of, room_for, stage, unstage
from .workspace import (
    INFERENCE_UNITS,
    TRAINING_UNITS,
    InferenceWorkspace,
    TrainingWorkspace,
    round_up,
    tape_shape,
)

__all__ = ["Setting", "blockwise_backward", "blockwise_forward"]


class Setting(NamedTuple):
    """How to compute, beside the numbers.

    Attributes:
        num_heads: h.
        product_dtype: Of the matrix products; the elementwise steps run in float32 or higher.
        is_paired: Let the discriminator see pairs (16 C^2), not sum and difference (14 C^2).
        block_tokens: Tokens per block at most; 0 picks a number that suits the caches.
    """

    num_heads: int
    product_dtype: torch.dtype
    is_paired: bool = False
    block_tokens: int = 0


@torch.no_grad()
def blockwise_forward(
    first: Tensor,
    second: Tensor,
    valid: Tensor | None,
    parameters: FusionParameters,
    setting: Setting,
    with_tape: bool,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Fuse two streams (..., C).

    Args:
        first: (..., C).
        second: (..., C).
        valid: Bool (...) or None, as in `functional.gemini_fusion`.
        parameters: Of both directions, with noise and discriminator.
        setting: How to compute.
        with_tape: Keep what spares the backward most of the forward.
        bias: Float (...) or None, as in `functional.gemini_fusion`.

    Returns:
        Fused first and second, each (..., C) and contiguous, and the tape, empty if it is not
        wanted. It lies block by block, so its last row says how large they are.
    """
    results = _new(first), _new(first)
    job = _job(first, second, results, valid, parameters, setting, bias)
    division = divide(len(job.streams[0]), job.constants.channels, setting.block_tokens)
    rows, width = tape_shape(len(job.streams[0]), job.constants.channels, setting.num_heads)
    tape = job.constants.out_bias.new_empty(rows if with_tape else 0, width)
    tape[-1:].fill_(division.size)

    def begin() -> Callable[[slice], None]:
        memory = job.memory(division, TRAINING_UNITS if with_tape else INFERENCE_UNITS)
        return lambda rows: _forward(job, rows, memory, tape[_padded(rows)] if with_tape else None)

    for_each(division.blocks, begin, division.workers)
    return *results, tape


@torch.no_grad()
def blockwise_backward(
    first: Tensor,
    second: Tensor,
    valid: Tensor | None,
    parameters: FusionParameters,
    setting: Setting,
    tape: Tensor,
    upstream: tuple[Tensor, Tensor],
    with_parameters: bool,
    bias: Tensor | None = None,
    towards_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, FusionParameters | None]:
    """Gradients of first and second, each (..., C), and of the parameters or None.

    What the forward takes is as there. `tape` is what it left; where it is empty the forward is
    repeated. `upstream` are the gradients of the fused streams, each (..., C). Those of the
    parameters are found `with_parameters`; that of the bias fills `towards_bias`, zeros of its
    shape, if given.
    """
    results = _new(first), _new(first)
    job = _job(first, second, results, valid, parameters, setting, bias)
    towards = _flat(*upstream)
    size = int(tape[-1, 0]) if len(tape) else 0
    division = divide(len(job.streams[0]), job.constants.channels, setting.block_tokens, size)
    sums = [start_gradients(job.constants) if with_parameters else None for _ in division.runs]

    def begin() -> Callable[[int], None]:
        memory = job.memory(division, TRAINING_UNITS)

        def compute(run: int) -> None:
            for rows in division.runs[run]:
                kept = tape[_padded(rows)] if len(tape) else None
                _backward(job, rows, memory, kept, towards, sums[run], towards_bias)

        return compute

    for_each(range(len(division.runs)), begin, division.workers)
    total = add_gradients(sums)
    return *results, None if total is None else finish_gradients(total, parameters)


class _Job(NamedTuple):
    """What all blocks of a call share.

    Attributes:
        streams: First and second, each (N, C).
        results: Each (N, C), written.
        valid: Bool (...) or None.
        bias: Float (N, 1) or None.
        constants: The parameters, prepared.
    """

    streams: list[Tensor]
    results: list[Tensor]
    valid: Tensor | None
    bias: Tensor | None
    constants: Constants

    @property
    def dtype(self) -> torch.dtype:
        """Of the elementwise steps."""
        return self.constants.out_bias.dtype

    def memory(self, division: Division, units: int) -> Tensor:
        """For the largest block, in P C elements."""
        num_elements = units * division.largest * self.constants.channels
        return self.constants.out_bias.new_empty(num_elements)

    def shift(self, rows: slice, mask: Tensor | None) -> Tensor | None:
        """The bias (M, 1) of a block."""
        return None if self.bias is None else stage(self.bias[rows], mask, self.dtype)


def _job(
    first: Tensor,
    second: Tensor,
    results: Sequence[Tensor],
    valid: Tensor | None,
    parameters: FusionParameters,
    setting: Setting,
    bias: Tensor | None,
) -> _Job:
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    constants = prepare_constants(
        parameters, setting.num_heads, dtype, setting.product_dtype, setting.is_paired
    )
    bias = None if bias is None else bias.reshape(-1, 1)
    return _Job(_flat(first, second), _flat(*results), valid, bias, constants)


def _forward(job: _Job, rows: slice, memory: Tensor, tape: Tensor | None) -> None:
    """One block; with a tape (P, tape_width) that is filled."""
    own, out = [s[rows] for s in job.streams], [r[rows] for r in job.results]
    mask, is_any = mask_of(job.valid, rows)
    if not is_any:
        copy_rows(own, out)
        return
    staged = [stage(stream, mask, job.dtype) for stream in own]
    size, computed = len(staged[0]), room_for(out, mask, job.dtype)
    if tape is None:
        workspace = InferenceWorkspace(memory, size, job.constants)
    else:
        workspace = TrainingWorkspace(memory, size, job.constants, tape)
    forward_block(staged, job.constants, workspace, computed, job.shift(rows, mask))
    if isinstance(workspace, TrainingWorkspace) and size != round_up(size):
        workspace.clear_padding()
    unstage(computed, out, mask, own)


def _backward(
    job: _Job,
    rows: slice,
    memory: Tensor,
    tape: Tensor | None,
    upstream: list[Tensor],
    sums: Gradients | None,
    towards_bias: Tensor | None,
) -> None:
    """One block; without a tape its forward is repeated."""
    given, out = [t[rows] for t in upstream], [r[rows] for r in job.results]
    mask, is_any = mask_of(job.valid, rows)
    if not is_any:
        copy_rows(given, out)
        return
    staged = [stage(stream[rows], mask, job.dtype) for stream in job.streams]
    towards = [stage(gradient, mask, job.dtype) for gradient in given]
    workspace = TrainingWorkspace(memory, len(staged[0]), job.constants, tape)
    if tape is None:
        forward_block(staged, job.constants, workspace, bias=job.shift(rows, mask))
    else:
        replay_block(staged, job.constants, workspace)
    computed = room_for(out, mask, job.dtype)
    of_bias = None if towards_bias is None else staged[0].new_zeros(len(staged[0]))
    backward_block(staged, towards, job.constants, workspace, sums, computed, of_bias)
    unstage(computed, out, mask, given)
    if towards_bias is not None and of_bias is not None:
        towards_bias.view(-1)[rows] = of_bias[: rows.stop - rows.start]


def _new(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device=like.device)


def _flat(*tensors: Tensor) -> list[Tensor]:
    return [tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors]


def _padded(rows: slice) -> slice:
    return slice(rows.start, rows.start + round_up(rows.stop - rows.start))

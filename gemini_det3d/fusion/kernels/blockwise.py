"""The operator on the CPU: all tokens, block by block, with a hand-written backward.

See `block` for the arithmetic. Nothing of the size of the streams is allocated except the outputs
and, when the backward shall not repeat the forward, the tape.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional import FusionParameters
from .block import backward_block, forward_block, replay_block
from .constants import (
    Constants,
    finish_gradients,
    prepare_constants,
    start_gradients,
)
from .workspace import (
    INFERENCE_UNITS,
    TRAINING_UNITS,
    InferenceWorkspace,
    TrainingWorkspace,
    round_up,
    tape_width,
)

__all__ = ["Setting", "blockwise_backward", "blockwise_forward"]

_BLOCK_ELEMENTS = 1 << 18  # M C on one core: 1 MiB in float32, measured on cores with 2 MiB of L2
_SHARED_BLOCK_ELEMENTS = (
    1 << 19
)  # per core: where cores wait for each other, they do it half as often
_MOST_BLOCK_ELEMENTS = 1 << 21
_MIN_TOKENS, _MAX_TOKENS = 256, 8192
_LEAST_ROWS = 16  # products of fewer rows round otherwise: fewer tokens are padded


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
        Fused first and second, each (..., C) and contiguous, and the tape (N, tape_width), empty
        if it is not wanted.
    """
    constants = _constants(first, parameters, setting)
    results = _new(first), _new(first)
    streams, fused = _flat(first, second), _flat(*results)
    width = tape_width(constants.channels, setting.num_heads)
    tape = constants.out_bias.new_empty(round_up(len(streams[0])) if with_tape else 0, width)
    blocks = _blocks(len(streams[0]), constants.channels, setting.block_tokens)
    memory = _memory(blocks, TRAINING_UNITS if with_tape else INFERENCE_UNITS, constants)
    workspace = None
    for rows in blocks:
        own, out = [s[rows] for s in streams], [f[rows] for f in fused]
        mask, is_any = _mask(valid, rows)
        if not is_any:
            _copy(own, out)
            continue
        staged = [_stage(stream, mask, constants) for stream in own]
        size = len(staged[0])
        if with_tape:
            workspace = TrainingWorkspace(memory, size, constants, tape[_padded(rows)])
        elif workspace is None or workspace.num_tokens != size:
            workspace = InferenceWorkspace(memory, size, constants)
        computed = _targets(out, mask, constants)
        forward_block(staged, constants, workspace, computed, _bias(bias, rows, mask, constants))
        if isinstance(workspace, TrainingWorkspace) and size != round_up(size):
            workspace.clear_padding()
        _unstage(computed, out, mask, own)
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
    constants = _constants(first, parameters, setting)
    results = _new(first), _new(first)
    streams, towards, gradients = _flat(first, second), _flat(*upstream), _flat(*results)
    sums = start_gradients(constants) if with_parameters else None
    blocks = _blocks(len(streams[0]), constants.channels, setting.block_tokens)
    memory = _memory(blocks, TRAINING_UNITS, constants)
    for rows in blocks:
        given, out = [t[rows] for t in towards], [g[rows] for g in gradients]
        mask, is_any = _mask(valid, rows)
        if not is_any:
            _copy(given, out)
            continue
        staged = [_stage(stream[rows], mask, constants) for stream in streams]
        hidden = [_stage(gradient, mask, constants) for gradient in given]
        kept = tape[_padded(rows)] if len(tape) else None
        workspace = TrainingWorkspace(memory, len(staged[0]), constants, kept)
        if kept is None:
            forward_block(staged, constants, workspace, bias=_bias(bias, rows, mask, constants))
        else:
            replay_block(staged, constants, workspace)
        computed = _targets(out, mask, constants)
        of_bias = None if towards_bias is None else staged[0].new_zeros(len(staged[0]))
        backward_block(staged, hidden, constants, workspace, sums, computed, of_bias)
        _unstage(computed, out, mask, given)
        if towards_bias is not None and of_bias is not None:
            towards_bias.view(-1)[rows] = of_bias[: rows.stop - rows.start]
    return *results, None if sums is None else finish_gradients(sums, parameters)


def _constants(first: Tensor, parameters: FusionParameters, setting: Setting) -> Constants:
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    return prepare_constants(
        parameters, setting.num_heads, dtype, setting.product_dtype, setting.is_paired
    )


def _bias(
    bias: Tensor | None, rows: slice, mask: Tensor | None, constants: Constants
) -> Tensor | None:
    """The rows (M, 1) of a bias (...)."""
    return None if bias is None else _stage(bias.reshape(-1, 1)[rows], mask, constants)


def _new(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device=like.device)


def _flat(*tensors: Tensor) -> list[Tensor]:
    return [tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors]


def _padded(rows: slice) -> slice:
    return slice(rows.start, rows.start + round_up(rows.stop - rows.start))


def _blocks(num_tokens: int, channels: int, most: int) -> list[slice]:
    """Blocks of nearly equal size: a short last one would leave cores idle.

    A rest of a few tokens joins the block before it.
    """
    if num_tokens == 0:
        return []
    if most < 1:
        cores = torch.get_num_threads()
        elements = min(_SHARED_BLOCK_ELEMENTS * cores, _MOST_BLOCK_ELEMENTS)
        elements = elements if cores > 1 else _BLOCK_ELEMENTS
        most = min(max(elements // channels, _MIN_TOKENS), _MAX_TOKENS)
    count = -(-num_tokens // most)
    size = round_up(-(-num_tokens // count))
    starts = list(range(0, max(num_tokens - _LEAST_ROWS + 1, 1), size))
    return [slice(i, end) for i, end in zip(starts, [*starts[1:], num_tokens])]


def _memory(blocks: list[slice], units: int, constants: Constants) -> Tensor:
    largest = round_up(max((block.stop - block.start for block in blocks), default=0))
    return constants.out_bias.new_empty(units * largest * constants.channels)


def _mask(valid: Tensor | None, rows: slice) -> tuple[Tensor | None, bool]:
    """Mask (M, 1) of a block, None where all its tokens are valid, and whether any is."""
    if valid is None:
        return None, True
    mask = valid.reshape(-1, 1)[rows]
    count = int(mask.count_nonzero())
    return None if count == len(mask) else mask, count > 0


def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets):
        target.copy_(source)


def _stage(tensor: Tensor, mask: Tensor | None, constants: Constants) -> Tensor:
    """The rows as the block wants them: dtype E, zeros where not valid, not too few."""
    staged = tensor.to(constants.out_bias.dtype)
    if mask is not None:
        staged = torch.where(mask, staged, 0)
    missing = _LEAST_ROWS - len(staged)
    return F.pad(staged, (0, 0, 0, missing)) if missing > 0 else staged


def _targets(out: list[Tensor], mask: Tensor | None, constants: Constants) -> list[Tensor]:
    """Where the block may write: the result itself, unless dtype, mask or few rows forbid."""
    dtype, size = constants.out_bias.dtype, max(len(out[0]), _LEAST_ROWS)
    if mask is None and out[0].dtype == dtype and len(out[0]) == size:
        return out
    return [rows.new_empty(size, rows.shape[1], dtype=dtype) for rows in out]


def _unstage(
    computed: list[Tensor], out: list[Tensor], mask: Tensor | None, own: list[Tensor]
) -> None:
    """Bring what was computed to the result, and what is not valid as it was."""
    if computed is out:
        return
    for source, target, kept in zip(computed, out, own):
        target.copy_(source[: len(target)])
        if mask is not None:
            torch.where(mask, target, kept, out=target)

"""What the fused form launches, and with which tiles: 1 or 4 kernels forwards, 7 backwards.

Notation as in `functional`. E is the dtype of the products, in which everything between the
kernels is stored; N tokens.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..functional import FusionParameters
from . import triton_backward, triton_forward, triton_parts
from .tiles import Tile, groups_of, is_narrow, tile
from .triton_parts import device_of

__all__ = ["backward", "forward", "tape_like"]

_LEAST_PROGRAMS = 512  # of the weights' gradient: four for each of a GPU's multiprocessors
_FINISH_DEPTH, _FINISH_WARPS = 16, 8  # others spill at 24 or 64 channels
_CHUNK = 1024  # tokens that are added up in one stretch: longer sums lose digits


class _Problem(NamedTuple):
    """Streams as rows, and what every kernel is told.

    Attributes:
        streams: Two (N, C) of equal strides.
        valid: (N,) of bytes, or None.
        parameters: Weights of one dtype.
        num_heads: h.
        dtype: E.
        precision: How float32 is multiplied: "ieee" or "tf32".
    """

    streams: tuple[Tensor, Tensor]
    valid: Tensor | None
    parameters: FusionParameters
    num_heads: int
    dtype: torch.dtype
    precision: str

    @property
    def size(self) -> tuple[int, int]:
        """N and C."""
        return self.streams[0].shape[0], self.streams[0].shape[1]

    @property
    def rows(self) -> tuple:
        """First arguments of a kernel that reads streams."""
        return (*self.streams, self.valid)

    @property
    def strides(self) -> tuple[int, int, int]:
        """N and the strides of the streams."""
        row, column = self.streams[0].stride()
        return self.streams[0].shape[0], row, column

    @property
    def scale(self) -> float:
        """1 / sqrt(d)."""
        return (self.size[1] // self.num_heads) ** -0.5

    @property
    def is_exact(self) -> bool:
        """Whether float32 is multiplied as it is."""
        return self.dtype == torch.float32 and self.precision == "ieee"

    def new(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.empty(shape, dtype=dtype or self.dtype, device=self.streams[0].device)

    def tile(self, kernel: str, width: int = 0) -> Tile:
        with_wgmma = _has_wgmma(self.streams[0].device)
        return tile(kernel, self.size[1], self.dtype, width, with_wgmma, self.is_exact)

    def blocks(self, used: Tile) -> int:
        """Programs that share out all tokens of both directions and all channels."""
        n, c = self.size
        return -(-n // used.rows) * -(-c // used.columns) * 2

    def constants(self, used: Tile, **more: Any) -> dict[str, Any]:
        sizes = {"C": self.size[1], "ROWS": used.rows, "COLUMNS": used.columns}
        scheduling = {"num_warps": used.num_warps, "num_stages": used.num_stages}
        return {**sizes, "DEPTH": used.depth, "PRECISION": self.precision, **scheduling, **more}


def _problem(
    first: Tensor,
    second: Tensor,
    valid: Tensor | None,
    parameters: FusionParameters,
    num_heads: int,
    dtype: torch.dtype,
) -> _Problem:
    streams = [stream.reshape(-1, stream.shape[-1]) for stream in (first, second)]
    if streams[0].stride() != streams[1].stride():
        streams = [stream.contiguous() for stream in streams]
    mask = None if valid is None else valid.reshape(-1).contiguous().view(torch.uint8)
    p = _of_one_dtype(parameters)
    return _Problem((streams[0], streams[1]), mask, p, num_heads, dtype, _precision(dtype))


@functools.cache
def _has_wgmma(device: torch.device) -> bool:
    """Whether the GPU is of the kind of sm_90; without a GPU its tiles are taken."""
    return device.type != "cuda" or torch.cuda.get_device_capability(device)[0] == 9


def _of_one_dtype(parameters: FusionParameters) -> FusionParameters:
    kinds = {tensor.dtype for tensor in parameters}
    if len(kinds) > 1:
        parameters = FusionParameters(*(tensor.float() for tensor in parameters))
    return FusionParameters(*(tensor.contiguous() for tensor in parameters))


def _precision(dtype: torch.dtype) -> str:
    allowed = getattr(torch.backends.cuda.matmul, "fp32_precision", None)  # PyTorch 2.9 and later
    if allowed is None:
        allowed = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"
    return "tf32" if dtype == torch.float32 and allowed == "tf32" else "ieee"


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
    with_tape: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Fused streams (..., C) in the streams' dtype, contiguous, and the tape.

    Args:
        first: (..., C) of any strides.
        second: (..., C) of the same dtype.
        valid: Bool (...) or None.
        parameters: With noise and discriminator, of any dtypes.
        num_heads: h.
        dtype: E.
        with_tape: Leave what spares the backward the discriminator.
    """
    fused = [torch.empty(first.shape, dtype=first.dtype, device=first.device) for _ in "ab"]
    tape = tape_like(first, dtype, with_tape)
    if fused[0].numel():
        with device_of(first):
            problem = _problem(first, second, valid, parameters, num_heads, dtype)
            if is_narrow(problem.size[1], problem.is_exact) and not with_tape:
                _launch_one(problem, fused)
            else:
                packed = _launch_relation(problem, tape if with_tape else None)
                _launch_read(problem, packed, fused)
    return fused[0], fused[1], tape


def _launch_one(problem: _Problem, fused: list[Tensor]) -> None:
    p, used = problem.parameters, problem.tile("one")
    constants = problem.constants(
        used, HEADS=problem.num_heads, KIND=triton_parts.DTYPES[problem.dtype]
    )
    del constants["DEPTH"]
    triton_parts.launch(
        triton_forward.one_kernel, -(-problem.size[0] // used.rows),
        *problem.rows, *fused, *problem.strides, p.query_weight, p.key_weight, p.value_weight,
        p.in_bias, p.out_weight, p.out_bias, p.relation_in_weight, p.relation_in_bias,
        p.relation_out_weight, p.relation_out_bias, p.key_noise, p.value_noise, problem.scale,
        **constants,
    )  # fmt: skip


class _Packed(NamedTuple):
    """What the first two kernels leave: see `triton_forward`."""

    weights: Tensor  # (9, C, C) in E
    biases: Tensor  # (11, C) float32
    related: Tensor  # (2, N, C) in E: x - x * phi, or phi on the tape
    read: Tensor  # (2, N, C) in E: room for what the attention reads
    with_tape: bool


def _sources(p: FusionParameters) -> tuple[Tensor, ...]:
    return (
        *(p.query_weight, p.key_weight, p.value_weight, p.out_weight, p.relation_out_weight),
        *(p.in_bias, p.out_bias, p.relation_out_bias, p.key_noise, p.value_noise),
    )


def _launch_pack(problem: _Problem) -> tuple[Tensor, Tensor]:
    c = problem.size[1]
    used = problem.tile("hidden")
    weights = problem.new(9, c, c), problem.new(11, c, dtype=torch.float32)
    constants = {"C": c, "COLUMNS": used.columns, "DEPTH": used.depth}
    jobs = 9 * -(-c // used.columns)
    sources = _sources(problem.parameters)
    triton_parts.launch(triton_forward.pack_kernel, jobs, *sources, *weights, **constants)
    return weights


def _launch_relation(problem: _Problem, tape: Tensor | None) -> _Packed:
    n, c = problem.size
    p, with_tape = problem.parameters, tape is not None
    hidden, related = problem.new(2, 2, n, c) if tape is None else tape
    weights = problem.new(9, c, c), problem.new(11, c, dtype=torch.float32)
    used = problem.tile("hidden")
    programs = problem.blocks(used) + 9 * -(-c // used.columns)
    arguments = (p.relation_in_weight, p.relation_in_bias, *_sources(p), *weights)
    triton_parts.launch(
        triton_forward.hidden_kernel, programs, *problem.rows, hidden, *problem.strides, *arguments,
        **problem.constants(used, WITH_TAPE=with_tape),
    )  # fmt: skip
    used = problem.tile("relation")
    triton_parts.launch(
        triton_forward.relation_kernel, -(-n // used.rows) * 2,
        *problem.rows, hidden, related, *problem.strides, *weights,
        **problem.constants(used, WITH_TAPE=with_tape),
    )  # fmt: skip
    read = problem.new(2, n, c) if with_tape else hidden
    return _Packed(*weights, related, read, with_tape)


def _launch_read(problem: _Problem, packed: _Packed, fused: list[Tensor]) -> None:
    n, c = problem.size
    weights = packed.weights, packed.biases
    groups = groups_of(c, problem.num_heads, problem.dtype)
    used = problem.tile("gate", groups.width)
    heads = {"HEADS": groups.heads, "HEAD": c // problem.num_heads, "GROUPS": groups.count}
    triton_parts.launch(
        triton_forward.gate_kernel, -(-n // used.rows) * groups.count * 2,
        *problem.rows, packed.related, packed.read, *problem.strides, *weights, problem.scale,
        **problem.constants(used, WITH_TAPE=packed.with_tape, **heads),
    )  # fmt: skip
    used = problem.tile("out")
    triton_parts.launch(
        triton_forward.out_kernel, problem.blocks(used),
        *problem.rows, packed.read, *fused, *problem.strides, *weights, **problem.constants(used),
    )  # fmt: skip


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
) -> tuple[Tensor, Tensor, FusionParameters | None]:
    """Gradients of `forward`.

    Args:
        first: (..., C), as in the forward.
        second: (..., C), as in the forward.
        valid: As in the forward.
        parameters: As in the forward.
        num_heads: h.
        dtype: E.
        tape: What the forward left; where it is empty the discriminator is computed again.
        upstream: Gradients of the fused streams, each (..., C).
        with_parameters: Whether the gradients of the parameters are wanted.

    Returns:
        Gradients of first and second, and of the parameters or None.
    """
    towards = [torch.empty(first.shape, dtype=first.dtype, device=first.device) for _ in "ab"]
    gradients = None
    if not first.numel():
        if with_parameters:
            gradients = FusionParameters(*(torch.zeros_like(p) for p in parameters))
        return towards[0], towards[1], gradients
    with device_of(first):
        lowered = [stream.to(dtype).contiguous() for stream in (first, second)]
        problem = _problem(lowered[0], lowered[1], valid, parameters, num_heads, dtype)
        ups = [up.reshape(problem.size).contiguous() for up in upstream]
        if tape.shape[2]:
            weights = _launch_pack(problem)
        else:
            tape = problem.new(2, 2, *problem.size)
            weights = _launch_relation(problem, tape)[:2]
        work = _Backward(problem, tape[0], tape[1], [up.to(dtype) for up in ups], *weights)
        buffer = _launch_towards(work, ups, towards)
        if with_parameters:
            found = _launch_parameters(work, buffer)
            gradients = FusionParameters(*(g.to(p.dtype) for g, p in zip(found, parameters)))
    return towards[0], towards[1], gradients


class _Backward(NamedTuple):
    """What the kernels of the backward share: tape, upstream in E, packed weights."""

    problem: _Problem
    before: Tensor
    phi: Tensor
    ups: list[Tensor]
    weights: Tensor
    biases: Tensor


def _launch_towards(work: _Backward, ups: list[Tensor], towards: list[Tensor]) -> Tensor:
    """Launch what leads to the streams; returns the buffer (10, 2, N, C)."""
    problem, phi, weights = work.problem, work.phi, work.weights
    n, c = problem.size
    buffer = problem.new(len(triton_backward.PLACES), 2, n, c)
    groups = groups_of(c, problem.num_heads, problem.dtype)
    used = problem.tile("attention", groups.width)
    heads = {"HEADS": groups.heads, "HEAD": c // problem.num_heads, "GROUPS": groups.count}
    triton_parts.launch(
        triton_backward.attention_kernel, -(-n // used.rows) * groups.count * 2,
        *problem.rows, phi, *work.ups, buffer, n, weights, work.biases, problem.scale,
        **problem.constants(used, **heads),
    )  # fmt: skip
    used = problem.tile("difference")
    sums = problem.new(-(-c // used.columns), 2, n, dtype=torch.float32)
    triton_parts.launch(
        triton_backward.difference_kernel, problem.blocks(used),
        *problem.rows, phi, buffer, sums, n, weights, **problem.constants(used),
    )  # fmt: skip
    used = problem.tile("logits")
    triton_parts.launch(
        triton_backward.logits_kernel, problem.blocks(used), *problem.rows, phi, work.before,
        buffer, sums, n, weights, **problem.constants(used, PARTS=len(sums)),
    )  # fmt: skip
    used = problem.tile("streams")
    triton_parts.launch(
        triton_backward.streams_kernel, problem.blocks(used), problem.valid, phi, *ups, buffer,
        *towards, n, weights, problem.parameters.relation_in_weight, **problem.constants(used),
    )  # fmt: skip
    return buffer


def _launch_parameters(work: _Backward, buffer: Tensor) -> list[Tensor]:
    """Launch what leads to the parameters; returns their gradients."""
    problem, p = work.problem, work.problem.parameters
    gradients = [torch.empty_like(parameter) for parameter in p]
    n, c = problem.size
    used = problem.tile("weights")
    tiles = 11 * -(-c // used.rows) * -(-c // used.columns)
    chunks = -(-n // _CHUNK)
    per_split = -(-chunks // min(chunks, -(-_LEAST_PROGRAMS // tiles))) * _CHUNK
    splits = -(-n // per_split)
    partial = problem.new(splits, 11, c, c, dtype=torch.float32)
    sums = problem.new(splits, 11, 2, c, dtype=torch.float32)
    triton_parts.launch(
        triton_backward.weights_kernel, tiles * splits,
        *problem.rows, *work.ups, buffer, partial, sums, n, per_split,
        **problem.constants(used, CHUNK=_CHUNK),
    )  # fmt: skip
    rows = min(used.rows, 32)
    triton_parts.launch(
        triton_backward.finish_kernel, 15 * -(-c // rows), p.key_weight, p.value_weight,
        p.key_noise, p.value_noise, partial, sums, *gradients, splits, C=c, ROWS=rows,
        DEPTH=_FINISH_DEPTH, num_warps=_FINISH_WARPS,
    )  # fmt: skip
    return gradients

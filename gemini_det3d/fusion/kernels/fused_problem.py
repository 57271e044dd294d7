"""A call of the fused form as kernels see it: rows, parameters of one dtype, tiles, launcher.

Notation as in `functional`. E is the dtype of the products, in which everything between the
kernels is stored; N tokens.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..functional import FusionParameters
from . import triton_parts
from .precision import multiplies_exactly
from .tiles import Groups, Tile, groups_of, tile

__all__ = ["Problem", "as_it_lies", "make_problem"]

_KNOWN: dict[tuple, dict] = {}
"""What was compiled, by device and dtypes: see `triton_parts.launch`."""


class Problem(NamedTuple):
    """Streams as rows, and what every kernel is told.

    Attributes:
        streams: Two (N, C) of equal strides.
        valid: (N,) of bytes, or None.
        bias: (N,) float32, or None.
        parameters: Weights of one dtype, contiguous.
        num_tokens: N.
        channels: C.
        num_heads: h.
        dtype: E.
        precision: How float32 is multiplied: "ieee" or "tf32".
        with_wgmma: As `tile`.
        known: Where compiled kernels are remembered; None: this call is not of a common kind.
    """

    streams: tuple[Tensor, Tensor]
    valid: Tensor | None
    bias: Tensor | None
    parameters: FusionParameters
    num_tokens: int
    channels: int
    num_heads: int
    dtype: torch.dtype
    precision: str
    with_wgmma: bool
    known: dict | None

    @property
    def rows(self) -> tuple:
        """First arguments of a kernel that reads streams."""
        return (*self.streams, self.valid)

    @property
    def strides(self) -> tuple[int, int, int]:
        """N and the strides of the streams."""
        row, column = self.streams[0].stride()
        return self.num_tokens, row, column

    @property
    def scale(self) -> float:
        """1 / sqrt(d)."""
        return (self.channels // self.num_heads) ** -0.5

    @property
    def is_exact(self) -> bool:
        """Whether float32 is multiplied as it is."""
        return self.dtype == torch.float32 and self.precision == "ieee"

    def new(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """An empty tensor on the streams' device, in E."""
        return torch.empty(shape, dtype=dtype or self.dtype, device=self.streams[0].device)

    def groups(self) -> Groups:
        """Of heads."""
        kind = self.dtype, self.with_wgmma, self.is_exact
        return groups_of(self.channels, self.num_heads, *kind)

    def tile(self, kernel: str, width: int = 0) -> Tile:
        """As `tiles.tile`."""
        kind = self.dtype, width, self.with_wgmma, self.is_exact
        return tile(kernel, self.channels, *kind)

    def blocks(self, used: Tile) -> int:
        """Programs that share out all tokens of both directions and all channels."""
        return -(-self.num_tokens // used.rows) * -(-self.channels // used.columns) * 2

    def launch(
        self, kernel: Any, programs: int, used: Tile, *arguments: Any, **constants: Any
    ) -> None:
        """Start a kernel with a tile."""
        triton_parts.launch(
            self.known, kernel, programs, *arguments, C=self.channels, ROWS=used.rows,
            COLUMNS=used.columns, DEPTH=used.depth, PRECISION=self.precision,
            num_warps=used.num_warps, num_stages=used.num_stages, **constants,
        )  # fmt: skip


def make_problem(
    first: Tensor,
    second: Tensor,
    valid: Tensor | None,
    bias: Tensor | None,
    parameters: FusionParameters,
    num_heads: int,
    dtype: torch.dtype,
    more: tuple[Tensor, ...] = (),
) -> Problem:
    """The problem of streams (..., C) of any strides.

    Args:
        first: (..., C).
        second: (..., C) of the same dtype.
        valid: Bool (...) or None.
        bias: Float32 (...) or None.
        parameters: Of any dtypes.
        num_heads: h.
        dtype: E.
        more: Other tensors of the caller that kernels read, contiguous.
    """
    channels = first.shape[-1]
    rows = [stream.resolve_neg().reshape(-1, channels) for stream in (first, second)]
    is_far = (channels - 1) * rows[0].stride(1) >= 1 << 31  # kernels count columns in 32 bits
    if is_far or rows[0].stride() != rows[1].stride():
        rows = [stream.contiguous() for stream in rows]
    mask = None if valid is None else valid.reshape(-1).contiguous().view(torch.uint8)
    shift = None if bias is None else as_it_lies(bias.reshape(-1))
    p, num_tokens = _of_one_dtype(parameters), rows[0].shape[0]
    device = first.device
    precision = "tf32" if dtype == torch.float32 and not multiplies_exactly(dtype) else "ieee"
    known = None
    of_tokens = [tensor for tensor in (mask, shift) if tensor is not None]
    if _is_common(rows, num_tokens, dtype, (*p, *more, *of_tokens)):
        dtypes = first.dtype, p.query_weight.dtype, dtype, *(tensor.dtype for tensor in more)
        known = _KNOWN.setdefault((device, dtypes), {})
    return Problem(
        (rows[0], rows[1]), mask, shift, p, num_tokens, channels, num_heads, dtype, precision,
        _has_wgmma(device), known,
    )  # fmt: skip


def _is_common(
    rows: list[Tensor], num_tokens: int, dtype: torch.dtype, tensors: tuple[Tensor, ...]
) -> bool:
    """Whether all that Triton compiles in follows from dtypes, constants and what is None.

    It is told apart by Triton whether a pointer is a multiple of 16, what strides are, and whether
    a number fits 32 bits.
    """
    size = rows[0].shape[1] * num_tokens * dtype.itemsize
    return (
        rows[0].is_cuda
        and rows[0].stride() == (rows[0].shape[1], 1)  # of one row any would be contiguous
        and num_tokens < 1 << 31
        and size % 8 == 0  # the halves of a tape
        and not any(tensor.data_ptr() & 15 for tensor in (*rows, *tensors))
    )


@functools.cache
def _has_wgmma(device: torch.device) -> bool:
    """Whether the GPU is of the kind of sm_90; without a GPU its tiles are taken."""
    return device.type != "cuda" or torch.cuda.get_device_capability(device)[0] == 9


def _of_one_dtype(parameters: FusionParameters) -> FusionParameters:
    kinds = {tensor.dtype for tensor in parameters}
    if len(kinds) > 1:
        parameters = FusionParameters(*(tensor.float() for tensor in parameters))
    if all(tensor.is_contiguous() and not tensor.is_neg() for tensor in parameters):
        return parameters
    return FusionParameters(*map(as_it_lies, parameters))


def as_it_lies(tensor: Tensor) -> Tensor:
    """The tensor contiguous and with no sign left to apply: memory as a kernel reads it."""
    return tensor.resolve_neg().contiguous()

"""The operator on a GPU by Triton kernels, as PyTorch operators: see `fused_launches`.

16 C^2 multiply-adds per token pair forwards and 40 backwards: what is cheap to compute again is not
kept. No weight is kept between calls, so nothing can go stale.

The way through PyTorch's dispatcher takes longer than the kernels where tokens are few; a call that
nothing but autograd looks at does without.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional import FusionParameters
from . import fused_backward, fused_launches
from .blockwise import Setting
from .compact import compact_fusion
from .library import make_operators
from .precision import product_dtype
from .torch_versions import (
    constant_to_compilers,
    found_once,
    holds,
    is_compiling,
    is_transforming,
    needs_backward,
)

__all__ = ["fuse_gpu", "fuse_gpu_backward", "fused_fusion", "runs_on"]

_FOUND_OUT: dict[tuple[int | None, torch.dtype], bool] = {}
"""On which devices and in which dtypes the kernels run."""


def fused_fusion(
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    valid: Tensor | None,
    with_recompute: bool,
    block_tokens: int,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Fuse two streams (..., C); arguments as in `choice.run`."""
    del block_tokens  # refused before
    dtype = product_dtype(first)
    is_recorded = needs_backward(first, second, *parameters, bias)
    with_tape = is_recorded and not with_recompute
    if _is_watched() or type(first) is not Tensor:
        setting = (num_heads, dtype, True, 0)
        return fuse_gpu(first, second, valid, *parameters, *setting, with_tape, bias)[:2]
    if is_recorded:
        return _Eager.apply(num_heads, dtype, with_tape, first, second, valid, bias, *parameters)
    return fused_launches.forward(first, second, valid, parameters, num_heads, dtype, None, bias)


def _is_watched() -> bool:
    """Whether a compiler or a mode wants to see every operator (a counter, fake tensors)."""
    return is_compiling() or torch._C._len_torch_dispatch_stack() > 0  # pyright: ignore


def _is_batched(tensor: Tensor) -> bool:
    """Whether it stands for several: `torch.autograd.grad(..., is_grads_batched=True)`."""
    return "Batched" in str(torch._C._dispatch_keys(tensor))  # pyright: ignore


class _Eager(torch.autograd.Function):
    """`fuse_gpu` without the dispatcher; watched, its gradient is `fuse_gpu_backward`."""

    @staticmethod
    def forward(
        ctx: Any,
        num_heads: int,
        dtype: torch.dtype,
        with_tape: bool,
        first: Tensor,
        second: Tensor,
        valid: Tensor | None,
        bias: Tensor | None,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        tape = fused_launches.tape_like(first, dtype, with_tape)
        p = FusionParameters(*parameters)
        fused = fused_launches.forward(first, second, valid, p, num_heads, dtype, tape, bias)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(first, second, valid, bias, *parameters, tape)
        ctx.num_heads, ctx.dtype = num_heads, dtype
        return fused

    @staticmethod
    def backward(ctx: Any, *towards: Tensor | None) -> tuple:
        first, second, valid, bias, *parameters, tape = ctx.saved_tensors
        towards_first, towards_second = (
            torch.zeros_like(first) if each is None else each for each in towards
        )
        upstream = (towards_first, towards_second)
        wanted = ctx.needs_input_grad[7:]
        is_plain = not (_is_watched() or is_transforming() or any(map(_is_batched, upstream)))
        if torch.is_grad_enabled() or not is_plain:
            setting = (ctx.num_heads, ctx.dtype, True, 0)
            gradients = fuse_gpu_backward(
                first, second, valid, tape, *upstream, *parameters, *setting, any(wanted), bias
            )
            of_bias = gradients[-1]
        else:
            p = FusionParameters(*parameters)
            of_bias = torch.zeros_like(bias) if ctx.needs_input_grad[6] else None
            *streams, of_parameters = fused_backward.backward(
                first, second, valid, p, ctx.num_heads, ctx.dtype, tape, upstream, any(wanted),
                bias, of_bias,
            )  # fmt: skip
            gradients = (*streams, *(of_parameters or [None] * len(p)))
        of_bias = of_bias if ctx.needs_input_grad[6] else None
        kept = (g if is_wanted else None for g, is_wanted in zip(gradients[2:], wanted))
        return (None, None, None, *gradients[:2], None, of_bias, *kept)


def _forward(
    first: Tensor,
    second: Tensor,
    valid: Tensor | None,
    parameters: FusionParameters,
    setting: Setting,
    with_tape: bool,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    tape = _tape(first, setting, with_tape)
    rest = (parameters, setting.num_heads, setting.product_dtype, tape, bias)
    return (*fused_launches.forward(first, second, valid, *rest), tape)


def _backward(
    first: Tensor,
    second: Tensor,
    valid: Tensor | None,
    parameters: FusionParameters,
    setting: Setting,
    tape: Tensor,
    upstream: tuple[Tensor, Tensor],
    with_parameters: bool,
    bias: Tensor | None,
    towards_bias: Tensor | None,
) -> tuple[Tensor, Tensor, FusionParameters | None]:
    rest = (parameters, setting.num_heads, setting.product_dtype, tape, upstream, with_parameters)
    return fused_backward.backward(first, second, valid, *rest, bias, towards_bias)


def _tape(first: Tensor, setting: Setting, with_tape: bool) -> Tensor:
    return fused_launches.tape_like(first, setting.product_dtype, with_tape)


def _products(setting: Setting, has_tape: bool | None, with_parameters: bool) -> int:
    if has_tape is None:
        return 16
    return (24 if has_tape else 30) + (16 if with_parameters else 0)


fuse_gpu, fuse_gpu_backward = make_operators("fuse_gpu", _forward, _backward, _tape, _products)


@constant_to_compilers
def runs_on(index: int | None, dtype: torch.dtype) -> bool:
    """Whether the kernels run on a GPU, found out once by running them.

    Without a C compiler, on a GPU that Triton does not know or under a driver that refuses its code
    they do not; then one warning says so, and another form runs.

    Args:
        index: Of the CUDA device.
        dtype: Of the products.

    Raises:
        Exception: Memory ran out; the next call tries again.
    """
    return found_once(_FOUND_OUT, (index, dtype), lambda: _try_on(index, dtype))


def _try_on(index: int | None, dtype: torch.dtype) -> bool:
    device = torch.device("cuda", index or 0) if torch.cuda.is_available() else torch.device("cpu")
    square, row = (2, 16, 16), (2, 16)
    shapes = [*[square] * 3, (2, 48), square, row, (16, 32), (16,), (16, 16), (16,), row, row]

    def probe() -> None:
        p = FusionParameters(*(_ramp(shape, dtype, device) for shape in shapes))
        streams = _ramp((5, 16), dtype, device), -_ramp((5, 16), dtype, device)
        with torch.no_grad():
            wanted = compact_fusion(*streams, p, 4)
            for with_tape in (False, True):
                tape = fused_launches.tape_like(streams[0], dtype, with_tape)
                fused = fused_launches.forward(*streams, None, p, 4, dtype, tape)
                if not torch.allclose(fused[0].float(), wanted[0].float(), 0.05, 0.05):
                    raise RuntimeError("wrong values")

    where = f"Triton does not run on {device} in {dtype}"
    return holds(probe, f"GeminiFusion: {where}, another form is taken")


def _ramp(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    size = torch.Size(shape).numel()
    return torch.linspace(-0.5, 0.5, size, device=device).view(shape).to(dtype)

"""Which form of the operator to run, and in which precision its products.

All forms compute the same function; `functional` defines it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..base import hide, keep_own
from ..functional import FusionParameters, gemini_fusion
from .compact import compact_fusion
from .torch_versions import (
    CAN_TRACE,
    autocast_dtype,
    has_triton,
    is_compiling,
    is_exporting,
    statically_known_true,
)

__all__ = ["BACKENDS", "check_backend", "run_backend"]

BACKENDS = ("auto", "plain", "compact", "traced", "blockwise", "fused")
_HALVES = (torch.float16, torch.bfloat16)
_HAS_CUSTOM_OPERATORS = hasattr(torch.library, "custom_op")  # PyTorch 2.4 and later
_HAS_TRITON = has_triton()
_FEW_TOKENS = 256  # N, or the elements N C below, up to which `compact` was measured to win
_FEW_ELEMENTS = 1 << 16
_MANY_ELEMENTS = 1 << 22  # N C from which whole streams leave the caches: `blockwise` wins again


def _multiplies_fast_on_cpu(dtype: torch.dtype) -> bool:
    """Whether this CPU has tiles for the dtype; without them float32 products are no slower."""
    probe = "_is_amx_tile_supported" if dtype == torch.bfloat16 else "_is_amx_fp16_supported"
    return bool(getattr(torch.cpu, probe, bool)())


_FAST_ON_CPU = tuple(dtype for dtype in _HALVES if _multiplies_fast_on_cpu(dtype))


def check_backend(backend: str, is_complete: bool) -> None:
    """Refuse a backend that does not exist or cannot run here.

    Args:
        backend: One of BACKENDS.
        is_complete: Whether the operator has noise and discriminator.

    Raises:
        ValueError: One line that names the key.
    """
    if backend not in BACKENDS:
        raise ValueError(f"GeminiFusion: backend must be one of {BACKENDS}, got {backend!r}")
    if backend not in ("auto", "plain") and not is_complete:
        raise ValueError(
            f"GeminiFusion: backend={backend!r} needs with_noise=True and with_relation=True"
        )
    if backend in ("blockwise", "fused") and not _HAS_CUSTOM_OPERATORS:
        raise ValueError(
            f"GeminiFusion: backend={backend!r} needs PyTorch 2.4, this is {torch.__version__}"
        )
    if backend == "traced" and not CAN_TRACE:
        raise ValueError(
            f"GeminiFusion: backend='traced' needs PyTorch 2.13, this is {torch.__version__}"
        )
    if backend == "fused" and not _HAS_TRITON:
        raise ValueError("GeminiFusion: backend='fused' needs Triton 3.2: pip install triton")


def run_backend(
    backend: str,
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    valid: Tensor | None = None,
    with_recompute: bool = False,
    block_tokens: int = 0,
) -> tuple[Tensor, Tensor]:
    """`functional.gemini_fusion` by one of its forms.

    Args:
        backend: One of BACKENDS.
        first: (..., C).
        second: (..., C).
        parameters: Of both directions.
        num_heads: h, a divisor of C.
        valid: Bool (...) or None.
        with_recompute: `blockwise` keeps nothing but the inputs for the backward and repeats the
            forward there.
        block_tokens: Tokens that `blockwise` computes at a time; 0: what suits the caches.

    Returns:
        Fused first and second, each (..., C), in the dtype of the streams.
    """
    options = (with_recompute, block_tokens)
    if backend == "auto" or _leaves_torch():
        backend = _choose(first, second, parameters, is_bounded=any(options))
    if backend == "blockwise":
        return _blockwise(first, second, parameters, num_heads, valid, *options)
    if backend in ("compact", "traced", "fused"):
        fuse = _load(backend)
        seen = hide(first, valid), hide(second, valid)
        fused_first, fused_second = fuse(*seen, parameters, num_heads)
        return keep_own(valid, fused_first, first), keep_own(valid, fused_second, second)
    return gemini_fusion(first, second, parameters, num_heads, valid)


def _choose(first: Tensor, second: Tensor, parameters: FusionParameters, is_bounded: bool) -> str:
    """The form to run; `is_bounded` asks for recomputation or for blocks of a given size.

    Programs that leave this process (`torch.export`, ONNX, TorchScript) are made from the plain
    form: they run where this package is not installed.
    """
    leaves = is_exporting() or _leaves_torch()
    if leaves or any(tensor is None for tensor in parameters):
        return "plain"
    if not _HAS_CUSTOM_OPERATORS:
        return "compact"
    if first.device.type != "cpu":
        is_fused = first.device.type == "cuda" and first.dtype != torch.float64 and _HAS_TRITON
        return "fused" if is_fused else "compact"
    if is_bounded:
        return "blockwise"
    if is_compiling():
        return _choose_compiled(first, _needs_backward(first, second, *parameters))
    is_small = first.numel() <= max(_FEW_ELEMENTS, _FEW_TOKENS * first.shape[-1])
    return "compact" if is_small else "blockwise"


def _choose_compiled(first: Tensor, needs_backward: bool) -> str:
    """The form a compiler sees, by the sizes it knows: to ask for others would be a graph more."""
    product_dtype = _product_dtype(first)
    is_lowered = product_dtype in _HALVES or (needs_backward and product_dtype != first.dtype)
    if is_lowered or not CAN_TRACE:
        return "blockwise"  # which can multiply in half precision, and keep nothing
    num_tokens = first.numel() // first.shape[-1]
    if statically_known_true(num_tokens <= _FEW_TOKENS):
        return "compact"
    is_many = statically_known_true(first.numel() > _MANY_ELEMENTS)
    return "blockwise" if is_many and not needs_backward else "traced"


def _needs_backward(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _load(backend: str) -> Callable[..., tuple[Tensor, Tensor]]:
    """Of the forms that take streams all of whose tokens are valid."""
    if backend == "fused":
        from .fused import fused_fusion  # imports Triton

        return fused_fusion
    if backend == "traced":
        from .traced import traced_fusion

        return traced_fusion
    return compact_fusion


def _leaves_torch() -> bool:
    """Whether the program is written down for a runtime that has no custom operators."""
    return (
        torch.onnx.is_in_onnx_export()
        or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        or torch.jit.is_scripting()  # pyright: ignore[reportPrivateImportUsage]
    )


def _blockwise(
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    valid: Tensor | None,
    with_recompute: bool,
    block_tokens: int,
) -> tuple[Tensor, Tensor]:
    from .library import fuse  # registers the operators on first use

    dtype = _product_dtype(first)
    needs_backward = _needs_backward(first, second, *parameters)
    # the tape is in full precision: next to streams of half precision it would save little
    with_tape = needs_backward and dtype == first.dtype and not with_recompute
    is_paired = dtype in _HALVES
    fused_first, fused_second, _ = fuse(
        first, second, valid, *parameters, num_heads, dtype, is_paired, block_tokens, with_tape
    )
    return fused_first, fused_second


def _product_dtype(stream: Tensor) -> torch.dtype:
    """Dtype of the matrix products: of autocast or of the stream, if the device is fast in it.

    On a CPU without tiles half precision stays a way to store: its products run in float32.
    """
    device, dtype = stream.device.type, stream.dtype
    if dtype != torch.float64:
        dtype = autocast_dtype(device) or dtype
    if dtype in _HALVES and device == "cpu" and dtype not in _FAST_ON_CPU:
        return torch.float32
    return dtype

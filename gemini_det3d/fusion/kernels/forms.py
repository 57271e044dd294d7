"""The forms of the operator as a table: where each runs, what it needs, when it is the best.

All forms compute the same function, `functional` defines it. `choice` takes the first form of
`FORMS` that can run a call and suits it. A new form is one file and one row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..functional import gemini_fusion
from .calls import Call
from .compact import compact_fusion
from .precision import HALVES, multiplies_exactly
from .tiles import MOST_DEPTH
from .torch_versions import (
    CAN_TRACE,
    HAS_CUSTOM_OPERATORS,
    INTERPRETS_TRITON,
    has_triton,
    statically_known_true,
)

__all__ = ["FORMS", "NEEDS_COMPLETE", "Form", "is_for_other_runtimes"]

# Thresholds, measured on a CPU (docs/design/operator.md):
_FEW_TOKENS = 256  # N, or the elements N C below, up to which `compact` wins
_FEW_ELEMENTS = 1 << 16
_MANY_ELEMENTS = 1 << 22  # N C from which whole streams leave the caches: `blockwise` wins again
NEEDS_COMPLETE = "with_noise=True and with_relation=True"


class Form(NamedTuple):
    """One way to compute the operator.

    Attributes:
        name: As `backend=` takes it.
        devices: Kinds of device where it may be chosen; () means any.
        lacks: What this installation lacks for it; "" when it can run.
        needs: What a call lacks for it; "" when it can run.
        suits: Whether it is the best for a call on its devices, unless a form above it is.
        role: What it is best for, in words.
        keeps: What it keeps for the backward, in words.
        load: Gives the function `(first, second, parameters, num_heads, bias=) -> (first,
            second)`, for tensors of one dtype and streams all of whose tokens are valid; imports it
            on first use.
        takes_all: The function masks and casts by itself, and goes on with the arguments `valid`,
            `with_recompute` and `block_tokens`.
        honours: Which of the arguments that bound memory it honours.
    """

    name: str
    devices: tuple[str, ...]
    lacks: str
    needs: Callable[[Call], str]
    suits: Callable[[Call], bool]
    role: str
    keeps: str
    load: Callable[[], Callable[..., tuple[Tensor, Tensor]]]
    takes_all: bool = False
    honours: tuple[str, ...] = ()


def is_for_other_runtimes(call: Call) -> bool:
    """Whether the definition alone can serve a call, whatever was asked for."""
    return call.leaves_torch or call.is_transformed or not call.is_complete


def _suits_blocks(call: Call) -> bool:
    if call.asked:
        return True
    elements = call.num_tokens * call.channels
    if not call.is_compiling:
        return elements > max(_FEW_ELEMENTS, _FEW_TOKENS * call.channels)
    kind = call.product_dtype
    is_lowered = kind in HALVES or (call.needs_backward and kind != call.dtype)
    if is_lowered or not CAN_TRACE:
        return True  # it can multiply in half precision, and keep nothing
    return not call.needs_backward and statically_known_true(elements > _MANY_ELEMENTS)


def _suits_compiler(call: Call) -> bool:
    """By the sizes a compiler knows: to ask for others would be a graph more."""
    return call.is_compiling and not statically_known_true(call.num_tokens <= _FEW_TOKENS)


def _nothing(call: Call) -> str:
    return ""


def _completeness(call: Call) -> str:
    return "" if call.is_complete else NEEDS_COMPLETE


def _gpu(call: Call) -> str:
    missing = _completeness(call)
    if call.device != "cuda" and not INTERPRETS_TRITON:
        missing = missing or f"a GPU, the streams are on {call.device}"
    if call.dtype == torch.float64:
        missing = missing or "float32 or lower"
    if call.depth > MOST_DEPTH:
        missing = missing or f"heads of at most {MOST_DEPTH} channels"
    if not missing and not INTERPRETS_TRITON and not _TRITON and not _runs_triton(call):
        missing = "a GPU, a driver and a C compiler with which Triton runs"
    return missing


def _suits_tensor_cores(call: Call) -> bool:
    """Exact float32 has none: there PyTorch's products are four times as fast as Triton's."""
    return not multiplies_exactly(call.product_dtype) or "with_recompute" in call.asked


def _runs_triton(call: Call) -> bool:
    from .fused import runs_on  # imports Triton

    return runs_on(call.index, call.product_dtype)


def _load_fused() -> Callable[..., tuple[Tensor, Tensor]]:
    from .fused import fused_fusion  # imports Triton

    return fused_fusion


def _load_blockwise() -> Callable[..., tuple[Tensor, Tensor]]:
    from .library import blockwise_fusion  # registers operators

    return blockwise_fusion


def _load_traced() -> Callable[..., tuple[Tensor, Tensor]]:
    from .traced import traced_fusion

    return traced_fusion


_TORCH_24 = "" if HAS_CUSTOM_OPERATORS else f"PyTorch 2.4, this is {torch.__version__}"
_TORCH_213 = "" if CAN_TRACE else f"PyTorch 2.13, this is {torch.__version__}"
_TRITON = _TORCH_24 or ("" if has_triton() else "Triton 3.2: pip install triton")

FORMS = (
    Form(
        "plain", (), "", _nothing, is_for_other_runtimes,
        role="exports, torch.func and forward-mode differentiation, operators without noise or "
        "discriminator: the definition",
        keeps="what autograd records",
        load=lambda: gemini_fusion,
    ),
    Form(
        "fused", ("cuda",), _TRITON, _gpu, _suits_tensor_cores,
        role="GPUs, half precision and tf32: one launch up to 64 channels, four above",
        keeps="the inputs and a tape of 4 C a token pair; with_recompute: the inputs",
        load=_load_fused,
        takes_all=True,
        honours=("with_recompute",),
    ),
    Form(
        "blockwise", ("cpu",), _TORCH_24, _completeness, _suits_blocks,
        role="CPU, many tokens or bounded memory: block by block in the caches",
        keeps="the inputs and a tape of 8 C a token pair; with_recompute: the inputs",
        load=_load_blockwise,
        takes_all=True,
        honours=("with_recompute", "block_tokens"),
    ),
    Form(
        "traced", ("cpu",), _TORCH_213, _completeness, _suits_compiler,
        role="CPU under torch.compile: one loop between two products",
        keeps="the products up to the gate when compiled",
        load=_load_traced,
    ),
    Form(
        "compact", (), "", _completeness, lambda call: True,
        role="few tokens, exact float32 on GPUs, devices without a form of their own: fewest "
        "PyTorch calls",
        keeps="what autograd records",
        load=lambda: compact_fusion,
    ),
)  # fmt: skip
"""In the order in which they are asked."""

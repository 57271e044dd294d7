"""The forms of the operator as a table: where each runs, what it needs, when it is the best.

All forms compute the same function, `functional` defines it. A call is described by a few facts;
`choose` takes the first form of `FORMS` that can run it and suits it. A new form is one file and
one row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..base import hide, keep_own
from ..functional import FusionParameters, gemini_fusion
from .compact import compact_fusion
from .precision import HALVES, product_dtype
from .tiles import MOST_DEPTH
from .torch_versions import (
    CAN_TRACE,
    HAS_CUSTOM_OPERATORS,
    INTERPRETS_TRITON,
    autocast_dtype,
    has_triton,
    is_compiling,
    is_exporting,
    is_transforming,
    leaves_torch,
    needs_backward,
    statically_known_true,
)

__all__ = ["BACKENDS", "FORMS", "Call", "Explanation", "Form", "check_backend", "explain", "run"]

# Thresholds, measured on a CPU (docs/design/operator.md):
_FEW_TOKENS = 256  # N, or the elements N C below, up to which `compact` wins
_FEW_ELEMENTS = 1 << 16
_MANY_ELEMENTS = 1 << 22  # N C from which whole streams leave the caches: `blockwise` wins again


class Call(NamedTuple):
    """What a form is chosen by.

    Attributes:
        device: Kind of the streams' device.
        index: Its number among those of its kind.
        dtype: Of the streams.
        product_dtype: Of the matrix products.
        num_tokens: N, all leading axes together; may be unknown to a compiler.
        channels: C.
        depth: Channels of a head.
        is_complete: Whether the operator has noise and discriminator.
        has_bias: Whether something is added to the gate's logit.
        needs_backward: Whether autograd is recording.
        is_compiling: Whether `torch.compile` is tracing.
        leaves_torch: Whether the program is written down for a process without this package: ONNX,
            TorchScript, and `torch.export` unless a form was asked for.
        is_transformed: Whether `torch.func` or forward-mode differentiation is at work.
        asked: What bounds memory and was asked for: names of arguments of `GeminiFusion`.
    """

    device: str
    index: int | None
    dtype: torch.dtype
    product_dtype: torch.dtype
    num_tokens: int
    channels: int
    depth: int
    is_complete: bool
    has_bias: bool
    needs_backward: bool
    is_compiling: bool
    leaves_torch: bool
    is_transformed: bool
    asked: tuple[str, ...]


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


def _is_for_other_runtimes(call: Call) -> bool:
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
    return "" if call.is_complete else "with_noise=True and with_relation=True"


_NO_BIAS = "reliability=False: its kernels add nothing to the gate's logit"


def _gpu(call: Call) -> str:
    missing = _completeness(call)
    if call.has_bias:
        missing = missing or _NO_BIAS
    if call.device != "cuda" and not INTERPRETS_TRITON:
        missing = missing or f"a GPU, the streams are on {call.device}"
    if call.dtype == torch.float64:
        missing = missing or "float32 or lower"
    if call.depth > MOST_DEPTH:
        missing = missing or f"heads of at most {MOST_DEPTH} channels"
    if not missing and not INTERPRETS_TRITON and not _TRITON and not _runs_triton(call):
        missing = "a GPU, a driver and a C compiler with which Triton runs"
    return missing


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
        "plain", (), "", _nothing, _is_for_other_runtimes,
        role="exports, torch.func and forward-mode differentiation, operators without noise or "
        "discriminator: the definition",
        keeps="what autograd records",
        load=lambda: gemini_fusion,
    ),
    Form(
        "fused", ("cuda",), _TRITON, _gpu, lambda call: True,
        role="GPUs: one launch up to 64 channels, four above",
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
        role="few tokens, and devices without a form of their own: fewest PyTorch calls",
        keeps="what autograd records",
        load=lambda: compact_fusion,
    ),
)  # fmt: skip
"""In the order in which they are asked."""

_BY_NAME = {form.name: form for form in FORMS}
BACKENDS = ("auto", *_BY_NAME)


class Explanation(NamedTuple):
    """Which form runs a call, and why not another.

    Attributes:
        form: Its name.
        reason: What it is best for, or that it was asked for.
        keeps: What it keeps for the backward.
        others: Name of every other form -> why it does not run.
    """

    form: str
    reason: str
    keeps: str
    others: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{self.form}: {self.reason}", f"  keeps {self.keeps}"]
        return "\n".join([*lines, *(f"  not {name}: {why}" for name, why in self.others.items())])


def check_backend(backend: str, is_complete: bool, has_bias: bool = False) -> None:
    """Refuse a backend that does not exist or cannot run here.

    Args:
        backend: One of BACKENDS.
        is_complete: Whether the operator has noise and discriminator.
        has_bias: Whether something is added to the gate's logit.

    Raises:
        ValueError: One line that names the key.
    """
    if backend not in BACKENDS:
        raise ValueError(f"GeminiFusion: backend must be one of {BACKENDS}, got {backend!r}")
    if backend in ("auto", "plain"):
        return
    lacks = _BY_NAME[backend].lacks if is_complete else "with_noise=True and with_relation=True"
    if has_bias and backend == "fused":
        lacks = _NO_BIAS
    if lacks:
        raise ValueError(f"GeminiFusion: backend={backend!r} needs {lacks}")


def run(
    backend: str,
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    valid: Tensor | None = None,
    with_recompute: bool = False,
    block_tokens: int = 0,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`functional.gemini_fusion` by one of its forms.

    Args:
        backend: One of BACKENDS.
        first: (..., C).
        second: (..., C), same dtype.
        parameters: Of both directions; of any floating dtypes.
        num_heads: h, a divisor of C.
        valid: Bool (...) or None.
        with_recompute: Keep nothing but the inputs for the backward and repeat the forward there.
        block_tokens: Tokens that `blockwise` computes at a time; 0: what suits the caches.
        bias: Float32 (...), or float64 for such streams; None: 0.

    Returns:
        Fused first and second, each (..., C), in the dtype of the streams.

    Raises:
        ValueError: The form that was asked for cannot run this call.
    """
    asked = _asked(with_recompute, block_tokens)
    form = _choose(backend, _describe(backend, first, second, parameters, num_heads, asked, bias))
    fuse, dtype = form.load(), first.dtype
    if form.takes_all:
        options = (valid, with_recompute, block_tokens)
        return fuse(first, second, parameters, num_heads, *options, bias=bias)
    first, second, parameters = _in_one_dtype(first, second, parameters)
    seen = hide(first, valid), hide(second, valid)
    fused_first, fused_second = fuse(*seen, parameters, num_heads, bias=bias)
    fused_first, fused_second = (
        keep_own(valid, fused_first, first),
        keep_own(valid, fused_second, second),
    )
    return fused_first.to(dtype), fused_second.to(dtype)


def explain(
    backend: str,
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    with_recompute: bool = False,
    block_tokens: int = 0,
    bias: Tensor | None = None,
) -> Explanation:
    """Which form `run` takes for a call, and why not another; arguments and errors as there."""
    asked = _asked(with_recompute, block_tokens)
    call = _describe(backend, first, second, parameters, num_heads, asked, bias)
    form = _choose(backend, call)
    late = f"{form.name} comes first"
    others = {other.name: _why_not(other, call) or late for other in FORMS if other is not form}
    reason = f"asked for; {form.role}" if form.name == backend else form.role
    return Explanation(form.name, reason, form.keeps, others)


def _choose(backend: str, call: Call) -> Form:
    """The form that was asked for, or the first that suits.

    Raises:
        ValueError: It cannot run this call, or would not honour on a GPU what bounds memory.
    """
    if _is_for_other_runtimes(call):
        return _BY_NAME["plain"]
    if backend == "auto":
        form = next(form for form in FORMS if not _why_not(form, call))
    else:
        form = _BY_NAME[backend]
        if form.needs(call):
            raise ValueError(f"GeminiFusion: backend={backend!r} needs {form.needs(call)}")
    for name in call.asked:
        if call.device == "cuda" and name not in form.honours:
            raise ValueError(f"GeminiFusion: {name} means nothing to {form.name!r} on a GPU")
    return form


def _why_not(form: Form, call: Call) -> str:
    """Why a form is not chosen, in words; "" where it may be."""
    if form.lacks or form.needs(call):
        return f"needs {form.lacks or form.needs(call)}"
    if form.devices and call.device not in form.devices:
        return f"is for {' and '.join(form.devices)}, the streams are on {call.device}"
    return "" if form.suits(call) else f"is for {form.role}"


def _asked(with_recompute: bool, block_tokens: int) -> tuple[str, ...]:
    asked = ("with_recompute",) if with_recompute else ()
    return (*asked, "block_tokens") if block_tokens else asked


def _describe(
    backend: str,
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    asked: tuple[str, ...],
    bias: Tensor | None = None,
) -> Call:
    channels = first.shape[-1]
    return Call(
        device=first.device.type,
        index=first.device.index,
        dtype=first.dtype,
        product_dtype=product_dtype(first),
        num_tokens=first.numel() // channels,
        channels=channels,
        depth=channels // num_heads,
        is_complete=not any(tensor is None for tensor in parameters),
        has_bias=bias is not None,
        needs_backward=needs_backward(first, second, *parameters, bias),
        is_compiling=is_compiling(),
        leaves_torch=leaves_torch() or (backend == "auto" and is_exporting()),
        is_transformed=is_transforming(),
        asked=asked,
    )


def _in_one_dtype(
    first: Tensor, second: Tensor, parameters: FusionParameters
) -> tuple[Tensor, Tensor, FusionParameters]:
    """Streams and parameters in the widest dtype among them; autocast does so by itself."""
    tensors = (first, second, *parameters)
    kinds = {tensor.dtype for tensor in tensors if tensor is not None}
    if len(kinds) == 1 or autocast_dtype(first.device.type) is not None:
        return first, second, parameters
    widest = first.dtype
    for kind in kinds:
        widest = torch.promote_types(widest, kind)
    cast: list[Any] = [None if tensor is None else tensor.to(widest) for tensor in parameters]
    return first.to(widest), second.to(widest), FusionParameters(*cast)

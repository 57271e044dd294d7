"""Which form of the operator computes a call, and why not another."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..base import hide, keep_own
from ..dtypes import beside_autocast
from ..functional import FusionParameters
from .calls import Call, describe
from .forms import FORMS, NEEDS_COMPLETE, Form, is_for_other_runtimes
from .torch_versions import autocast_dtype

__all__ = ["BACKENDS", "Explanation", "check_backend", "explain", "in_one_dtype", "run"]

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
    if backend in ("auto", "plain"):
        return
    lacks = _BY_NAME[backend].lacks if is_complete else NEEDS_COMPLETE
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
        block_tokens: Tokens that a thread of `blockwise` computes at a time; 0: what suits the
            caches.
        bias: Float32 (...), or float64 for such streams; None: 0.

    Returns:
        Fused first and second, each (..., C), in the dtype of the streams.

    Raises:
        ValueError: The form that was asked for cannot run this call.
    """
    options = (with_recompute, block_tokens)
    form = _choose(backend, describe(backend, first, second, parameters, num_heads, *options, bias))
    fuse, dtype = form.load(), first.dtype
    if form.takes_all:
        return fuse(first, second, parameters, num_heads, valid, *options, bias=bias)
    first, second, parameters = in_one_dtype(first, second, parameters)
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
    options = (with_recompute, block_tokens)
    call = describe(backend, first, second, parameters, num_heads, *options, bias)
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
    if is_for_other_runtimes(call):
        return _BY_NAME["plain"]
    if backend == "auto":
        form = _first_that_suits(call)
    else:
        form = _BY_NAME[backend]
        if form.needs(call):
            raise ValueError(f"GeminiFusion: backend={backend!r} needs {form.needs(call)}")
    for name in call.asked:
        if call.device == "cuda" and name not in form.honours:
            raise ValueError(f"GeminiFusion: {name} means nothing to {form.name!r} on a GPU")
    return form


def _first_that_suits(call: Call) -> Form:
    for form in FORMS[:-1]:  # a loop: the compilers of PyTorch 2.5 ask all that `next` might ask
        if not _why_not(form, call):
            return form
    return FORMS[-1]


def _why_not(form: Form, call: Call) -> str:
    """Why a form is not chosen, in words; "" where it may be."""
    is_here = not form.devices or call.device in form.devices
    if is_here and not form.suits(
        call
    ):  # asked first: what a form needs may be found out by trying
        return f"is for {form.role}"
    missing = form.lacks or form.needs(call)
    if missing:
        return f"needs {missing}"
    return (
        "" if is_here else f"is for {' and '.join(form.devices)}, the streams are on {call.device}"
    )


def in_one_dtype(
    first: Tensor, second: Tensor, parameters: FusionParameters
) -> tuple[Tensor, Tensor, FusionParameters]:
    """Streams and parameters in the widest dtype among them; autocast does so by itself.

    It does not for streams of the other half: those become float32.
    """
    lowered = autocast_dtype(first.device.type)
    if lowered is not None:
        wide = beside_autocast(first.dtype, lowered)
        return first.to(wide), second.to(wide), parameters
    kinds = [tensor.dtype for tensor in (second, *parameters) if tensor is not None]
    if all(kind == first.dtype for kind in kinds):
        return first, second, parameters
    widest = first.dtype
    for kind in kinds:
        widest = torch.promote_types(widest, kind)
    cast: list[Any] = [None if tensor is None else tensor.to(widest) for tensor in parameters]
    return first.to(widest), second.to(widest), FusionParameters(*cast)

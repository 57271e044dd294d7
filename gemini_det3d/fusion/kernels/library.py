"""The fast forms as PyTorch operators: eager, autograd, `torch.compile` and `torch.export`.

`gemini_det3d::fuse` and `gemini_det3d::fuse_backward` compute block by block, `fuse_gpu` and
`fuse_gpu_backward` by Triton kernels. Each is one node to the compiler (no graph break), knows its
output shapes without running and its multiply-adds without being traced, and differentiates: the
forward by the backward, the backward by the plain form of `functional`, as often as one wants.

Shapes as in `functional`; the tape is each form's own. The last argument, `bias`, may be left out;
PyTorch takes it off where it is None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._decomp import register_decomposition
from torch.utils.flop_counter import register_flop_formula

from ..functional import FusionParameters
from .blockwise import Setting, blockwise_backward, blockwise_forward
from .choice import run
from .precision import HALVES, product_dtype
from .torch_versions import CAN_TELL_EXPORTS, needs_backward, without_autocast
from .workspace import tape_shape

__all__ = ["blockwise_fusion", "fuse", "fuse_backward", "make_operators", "unpack"]

_PARAMETERS = ", ".join(f"Tensor {name}" for name in FusionParameters._fields)
_SETTING = "int num_heads, ScalarType product_dtype, bool is_paired, int block_tokens"
_NUM_PARAMETERS = len(FusionParameters._fields)
_INPUTS = "Tensor first, Tensor second, Tensor? valid"
_RESULTS = ", ".join(["Tensor"] * (3 + _NUM_PARAMETERS))


def blockwise_fusion(
    first: Tensor,
    second: Tensor,
    parameters: FusionParameters,
    num_heads: int,
    valid: Tensor | None,
    with_recompute: bool,
    block_tokens: int,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Fuse two streams (..., C); arguments as in `forms.run`."""
    dtype = product_dtype(first)
    # the tape is in full precision: next to streams of half precision it would save little
    is_kept = dtype == first.dtype and not with_recompute
    with_tape = is_kept and needs_backward(first, second, *parameters, bias)
    setting = (num_heads, dtype, dtype in HALVES, block_tokens)
    return fuse(first, second, valid, *parameters, *setting, with_tape, bias)[:2]


def make_operators(
    name: str,
    forward: Callable[..., tuple[Tensor, Tensor, Tensor]],
    backward: Callable[..., tuple[Tensor, Tensor, FusionParameters | None]],
    tape_like: Callable[[Tensor, Setting, bool], Tensor],
    products: Callable[[Setting, bool | None, bool], int],
) -> tuple[Any, Any]:
    """Register a forward and its backward.

    Args:
        name: `gemini_det3d::name` and `gemini_det3d::name_backward`.
        forward: As `blockwise_forward`.
        backward: As `blockwise_backward`.
        tape_like: The tape's shape and dtype, from the first stream, setting and `with_tape`.
        products: Multiply-adds in N C^2, from the setting, whether the backward has a tape (None:
            of the forward) and whether it gives gradients of the parameters.

    Returns:
        The forward, whose arguments are those of `blockwise_forward` unpacked; the backward, whose
        results are the gradients of the streams, then of the parameters in the order of
        `FusionParameters`, then of the bias: empty tensors where they are not wanted.
    """

    def run(first: Tensor, second: Tensor, valid: Tensor | None, *rest: Any) -> tuple:
        parameters, setting, with_tape, bias = unpack(rest)
        return forward(first, second, valid, parameters, setting, with_tape, bias)

    def run_backward(first, second, valid, tape, towards_first, towards_second, *rest) -> tuple:
        parameters, setting, with_parameters, bias = unpack(rest)
        upstream = (towards_first, towards_second)
        of_bias = None if bias is None else torch.zeros_like(bias)
        arguments = (parameters, setting, tape, upstream, with_parameters, bias, of_bias)
        *streams, gradients = backward(first, second, valid, *arguments)
        if gradients is None:
            gradients = [p.new_empty(0) for p in parameters]
        return (*streams, *gradients, first.new_empty(0) if of_bias is None else of_bias)

    operator = torch.library.custom_op(
        f"gemini_det3d::{name}", run, mutates_args=(),
        schema=f"({_INPUTS}, {_PARAMETERS}, {_SETTING}, bool with_tape, Tensor? bias=None)"
        " -> (Tensor, Tensor, Tensor)",
    )  # fmt: skip
    operator_backward = torch.library.custom_op(
        f"gemini_det3d::{name}_backward", run_backward, mutates_args=(),
        schema=f"({_INPUTS}, Tensor tape, Tensor towards_first, Tensor towards_second, "
        f"{_PARAMETERS}, {_SETTING}, bool with_parameters, Tensor? bias=None) -> ({_RESULTS})",
    )  # fmt: skip
    _register_shapes(operator, operator_backward, tape_like)
    _register_derivatives(operator, operator_backward)
    _register_flops(name, products)
    if not CAN_TELL_EXPORTS:
        register_decomposition([getattr(torch.ops.gemini_det3d, name).default])(_by_definition)
    if hasattr(torch.library, "register_vmap"):  # PyTorch 2.5 and later
        for each in (operator, operator_backward):
            torch.library.register_vmap(each, _one_by_one(each))
    return operator, operator_backward


def unpack(rest: tuple) -> tuple[FusionParameters, Setting, bool, Tensor | None]:
    """Parameters, setting, flag and bias, from an operator's arguments behind the tensors."""
    parameters, rest = FusionParameters(*rest[:_NUM_PARAMETERS]), rest[_NUM_PARAMETERS:]
    return parameters, Setting(*rest[:4]), rest[4], rest[5] if len(rest) > 5 else None


def _register_shapes(operator: Any, operator_backward: Any, tape_like: Callable) -> None:
    def fake(first, second, valid, *rest):
        _, setting, with_tape, _ = unpack(rest)
        tape = tape_like(first, setting, with_tape)
        return first.new_empty(first.shape), first.new_empty(first.shape), tape

    def fake_backward(first, second, valid, tape, towards_first, towards_second, *rest):
        parameters, _, with_parameters, bias = unpack(rest)
        gradients = [p.new_empty(p.shape if with_parameters else 0) for p in parameters]
        of_bias = first.new_empty(0) if bias is None else bias.new_empty(bias.shape)
        return first.new_empty(first.shape), first.new_empty(first.shape), *gradients, of_bias

    operator.register_fake(fake)
    operator_backward.register_fake(fake_backward)


def _register_derivatives(operator: Any, operator_backward: Any) -> None:
    def backward(ctx, towards_first: Tensor | None, towards_second: Tensor | None, _) -> tuple:
        first, second, valid, *parameters, bias, tape = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3 : 3 + _NUM_PARAMETERS]
        towards = [
            torch.zeros_like(first) if towards is None else towards
            for towards in (towards_first, towards_second)
        ]
        gradients = operator_backward(
            first, second, valid, tape, *towards, *parameters, *ctx.setting, any(wanted), bias
        )
        of_parameters = [g if w else None for g, w in zip(gradients[2:-1], wanted)]
        of_bias = None if bias is None else gradients[-1]
        return (*gradients[:2], None, *of_parameters, None, None, None, None, None, of_bias)

    operator.register_autograd(backward, setup_context=_remember_forward)
    operator_backward.register_autograd(_double_backward, setup_context=_remember_backward)


def _remember_forward(ctx, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)  # or the tape, which has no gradient, would get zeros
    ctx.save_for_backward(*inputs[: 3 + _NUM_PARAMETERS], inputs[-1], output[2])
    ctx.setting = inputs[3 + _NUM_PARAMETERS : -2]


def _remember_backward(ctx, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:3], *inputs[4 : 6 + _NUM_PARAMETERS], inputs[-1])
    ctx.num_heads, ctx.with_parameters = inputs[6 + _NUM_PARAMETERS], inputs[-2]


def _double_backward(ctx, *cotangents: Tensor) -> tuple:
    """Differentiate the plain form twice; the tape holds nothing that is not in the inputs."""
    first, second, valid, *rest, bias = ctx.saved_tensors
    is_recorded = torch.is_grad_enabled()
    with torch.enable_grad(), without_autocast(first.device.type):
        leaves = [_as_leaf(t) for t in (first, second, *rest)]
        streams, upstream, parameters = leaves[:2], leaves[2:4], leaves[4:]
        both = FusionParameters(*parameters)
        inner = [*streams, *parameters] if ctx.with_parameters else streams
        towards = cotangents[: len(inner)]
        if bias is not None:
            bias = _as_leaf(bias)
            leaves, inner, towards = [*leaves, bias], [*inner, bias], (*towards, cotangents[-1])
        fused = run("plain", streams[0], streams[1], both, ctx.num_heads, valid, bias=bias)
        gradients = torch.autograd.grad(fused, inner, upstream, create_graph=True)
        outer = torch.autograd.grad(
            gradients, leaves, towards, create_graph=is_recorded, allow_unused=True
        )
    of_bias = None if bias is None else outer[-1]
    of_rest = outer[2 : 4 + _NUM_PARAMETERS]
    return (*outer[:2], None, None, *of_rest, None, None, None, None, None, of_bias)


def _as_leaf(tensor: Tensor) -> Tensor:
    """The tensor to differentiate by, apart from how others came from it; its graph goes on."""
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()


def _by_definition(
    first: Tensor, second: Tensor, valid: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """What an export writes down where it was not seen to be one: no backward, so no tape."""
    parameters, setting, _, bias = unpack(rest)
    fused = run("plain", first, second, parameters, setting.num_heads, valid, bias=bias)
    return *fused, first.new_empty(0)


def _register_flops(name: str, products: Callable[[Setting, bool | None, bool], int]) -> None:
    @register_flop_formula(getattr(torch.ops.gemini_det3d, name))
    def _(first, second, valid, *rest, **_) -> int:
        return products(unpack(rest)[1], None, False) * _square(first)

    @register_flop_formula(getattr(torch.ops.gemini_det3d, f"{name}_backward"))
    def _(first, second, valid, tape, towards_first, towards_second, *rest, **_) -> int:
        _, setting, with_parameters, _ = unpack(rest)
        has_tape = torch.Size(tape).numel() > 0
        return products(setting, has_tape, with_parameters) * _square(first)


def _square(shape: torch.Size) -> int:
    """Floating point operations of one C x C product with all tokens of a stream."""
    return 2 * torch.Size(shape).numel() * shape[-1]


def _one_by_one(operator):
    """How an operator is mapped over a leading axis: call by call (batched gradients need it)."""

    def call(info: Any, axes: tuple, *arguments: Any) -> tuple:
        def take(i: int) -> list:
            return [a if x is None else a.select(x, i) for a, x in zip(arguments, axes)]

        results = [operator(*take(i)) for i in range(info.batch_size)]
        return tuple(torch.stack(each) for each in zip(*results)), (0,) * len(results[0])

    return call


def _blockwise_tape(first: Tensor, setting: Setting, with_tape: bool) -> Tensor:
    channels = first.shape[-1]
    rows, width = tape_shape(first.numel() // channels, channels, setting.num_heads)
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    return first.new_empty(rows if with_tape else 0, width, dtype=dtype)


def _blockwise_products(setting: Setting, has_tape: bool | None, with_parameters: bool) -> int:
    forward = 16 if setting.is_paired else 14
    if has_tape is None:
        return forward
    repeated = 4 if has_tape else forward - 2  # the values alone, or all but the output projection
    return repeated + forward * (2 if with_parameters else 1)


fuse, fuse_backward = make_operators(
    "fuse", blockwise_forward, blockwise_backward, _blockwise_tape, _blockwise_products
)
"""`blockwise` as operators."""

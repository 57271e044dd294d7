"""What all blocks of tokens share: the weights as the products want them, and their gradients.

Everything here costs C^2 per call, whatever the number of tokens. Notation as in `functional`;
in addition s = x_0 + x_1 and d = x_0 - x_1. With the discriminator's first layer W_1 = [A | B]

    W_1 [x_0 ; x_1] = S + D     and     W_1 [x_1 ; x_0] = S - D
    where S = (A + B)/2 s  and  D = (A - B)/2 d,

so two C x C products serve both directions instead of four. That needs sums of the streams and of
the weights, which half precision cannot hold; there W_1 is applied to the pairs themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..functional import FusionParameters, query_bias, value_bias
from .torch_versions import is_compiling

__all__ = [
    "Constants",
    "Gradients",
    "add_gradients",
    "finish_gradients",
    "prepare_constants",
    "start_gradients",
]


class Constants(NamedTuple):
    """Weights in the dtype of the products, biases in the dtype of the elementwise steps.

    Attributes:
        query_weight: (2, C, C).
        value_weight: (2C, C), the values of both directions: either stream meets both.
        query_bias: (2, C, 1).
        value_shift: (2, C, 1), W_v v_noise: what the own value has and the other has not.
        key_weight: (2, C, C).
        key_bias: (2, C, 1), W_k k_noise.
        out_weight: (2, C, C).
        out_bias: (2, C), with the value bias, which meets weights that sum to one, folded in.
        relation_in_weight: (2, C, C), (A + B)/2 and (A - B)/2; or (2, C, 2C), [A | B] and [B | A].
        relation_in_bias: (C,).
        relation_out_weight: (C, C).
        relation_out_bias: (C,).
        num_heads: h.
    """

    query_weight: Tensor
    value_weight: Tensor
    query_bias: Tensor
    value_shift: Tensor
    key_weight: Tensor
    key_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    relation_in_weight: Tensor
    relation_in_bias: Tensor
    relation_out_weight: Tensor
    relation_out_bias: Tensor
    num_heads: int

    @property
    def channels(self) -> int:
        """C."""
        return self.value_weight.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Of the matrix products."""
        return self.value_weight.dtype

    @property
    def is_paired(self) -> bool:
        """Whether the discriminator sees pairs (16 C^2) and not sum and difference (14 C^2)."""
        return self.relation_in_weight.shape[2] != self.channels


class Gradients(NamedTuple):
    """Gradients of `Constants`, summed over blocks; same shapes, biases flat."""

    query_weight: Tensor
    value_weight: Tensor
    query_bias: Tensor  # (2, C)
    value_shift: Tensor  # (2, C)
    key_weight: Tensor
    key_bias: Tensor  # (2, C)
    out_weight: Tensor
    out_bias: Tensor
    relation_in_weight: Tensor
    relation_in_bias: Tensor
    relation_out_weight: Tensor
    relation_out_bias: Tensor


def prepare_constants(
    parameters: FusionParameters,
    num_heads: int,
    dtype: torch.dtype,
    product_dtype: torch.dtype,
    is_paired: bool,
) -> Constants:
    """Rearrange and fold the parameters once per call.

    Args:
        parameters: Of both directions, with noise and discriminator.
        num_heads: h.
        dtype: Of the elementwise steps.
        product_dtype: Of the matrix products.
        is_paired: Let the discriminator see pairs.
    """
    p = FusionParameters(*(tensor.to(dtype) for tensor in parameters))
    channels = p.out_bias.shape[1]
    shift = torch.stack([torch.mv(p.value_weight[i], p.value_noise[i]) for i in (0, 1)])
    key_bias = torch.stack([torch.mv(p.key_weight[i], p.key_noise[i]) for i in (0, 1)])
    out_bias = torch.stack(
        [torch.addmv(p.out_bias[i], p.out_weight[i], value_bias(p)[i]) for i in (0, 1)]
    )
    near, far = p.relation_in_weight[:, :channels], p.relation_in_weight[:, channels:]
    if is_paired:
        relation_in = torch.stack((p.relation_in_weight, torch.cat((far, near), dim=1)))
    else:
        relation_in = _half_sums(near, far)
    return Constants(
        query_weight=p.query_weight.to(product_dtype),
        value_weight=p.value_weight.flatten(0, 1).to(product_dtype),
        query_bias=query_bias(p)[..., None],
        value_shift=shift[..., None],
        key_weight=p.key_weight.to(product_dtype),
        key_bias=key_bias[..., None],
        out_weight=p.out_weight.to(product_dtype),
        out_bias=out_bias,
        relation_in_weight=relation_in.to(product_dtype),
        relation_in_bias=p.relation_in_bias,
        relation_out_weight=p.relation_out_weight.to(product_dtype),
        relation_out_bias=p.relation_out_bias,
        num_heads=num_heads,
    )


def _half_sums(near: Tensor, far: Tensor) -> Tensor:
    """(A + B)/2 and (A - B)/2 as (2, C, C); without autograd in one buffer, each sum in place."""
    if torch.is_grad_enabled() or is_compiling():
        return 0.5 * torch.stack((near + far, near - far))
    sums = near.new_empty(2, *near.shape)
    torch.add(near, far, out=sums[0])
    torch.sub(near, far, out=sums[1])
    return sums.mul_(0.5)


def start_gradients(constants: Constants) -> Gradients:
    """Zeros to add to, in the dtype of the elementwise steps."""
    c, like = constants.channels, constants.out_bias
    width = constants.relation_in_weight.shape[2]
    return Gradients(
        query_weight=like.new_zeros(2, c, c),
        value_weight=like.new_zeros(2 * c, c),
        query_bias=like.new_zeros(2, c),
        value_shift=like.new_zeros(2, c),
        key_weight=like.new_zeros(2, c, c),
        key_bias=like.new_zeros(2, c),
        out_weight=like.new_zeros(2, c, c),
        out_bias=like.new_zeros(2, c),
        relation_in_weight=like.new_zeros(2, c, width),
        relation_in_bias=like.new_zeros(c),
        relation_out_weight=like.new_zeros(c, c),
        relation_out_bias=like.new_zeros(c),
    )


def add_gradients(sums: Sequence[Gradients | None]) -> Gradients | None:
    """Their sum, in order; the first is used up. None where gradients were not wanted."""
    total = sums[0]
    if total is not None:
        for each in sums[1:]:
            for tensor, share in zip(total, each or ()):
                tensor.add_(share)
    return total


def finish_gradients(sums: Gradients, parameters: FusionParameters) -> FusionParameters:
    """Gradients of the parameters from those of the constants; `sums` is used up.

    The key bias cancels in the attention: its third of the `in_bias` gradient is exactly zero.
    """
    dtype = sums.query_weight.dtype
    p = FusionParameters(*(tensor.to(dtype) for tensor in parameters))
    c = p.out_bias.shape[1]
    in_bias, value_weight = torch.zeros_like(p.in_bias), sums.value_weight.view(2, c, c)
    key_noise, value_noise = torch.empty_like(p.key_noise), torch.empty_like(p.value_noise)
    in_bias[:, :c] = sums.query_bias
    for i in (0, 1):
        in_bias[i, 2 * c :] = torch.mv(p.out_weight[i].t(), sums.out_bias[i])
        sums.out_weight[i].addr_(sums.out_bias[i], value_bias(p)[i])
        value_weight[i].addr_(sums.value_shift[i], p.value_noise[i])
        sums.key_weight[i].addr_(sums.key_bias[i], p.key_noise[i])
        torch.mv(p.value_weight[i].t(), sums.value_shift[i], out=value_noise[i])
        torch.mv(p.key_weight[i].t(), sums.key_bias[i], out=key_noise[i])
    gradients = FusionParameters(
        query_weight=sums.query_weight,
        key_weight=sums.key_weight,
        value_weight=value_weight,
        in_bias=in_bias,
        out_weight=sums.out_weight,
        out_bias=sums.out_bias,
        relation_in_weight=_relation_in_gradient(sums.relation_in_weight, c),
        relation_in_bias=sums.relation_in_bias,
        relation_out_weight=sums.relation_out_weight,
        relation_out_bias=sums.relation_out_bias,
        key_noise=key_noise,
        value_noise=value_noise,
    )
    return FusionParameters(*(g.to(q.dtype) for g, q in zip(gradients, parameters)))


def _relation_in_gradient(sums: Tensor, channels: int) -> Tensor:
    if sums.shape[2] == channels:  # of (A + B)/2 and (A - B)/2
        return torch.cat((sums[0] + sums[1], sums[0] - sums[1]), dim=1).mul_(0.5)
    return sums[0] + sums[1].roll(channels, dims=1)  # of [A | B] and [B | A]

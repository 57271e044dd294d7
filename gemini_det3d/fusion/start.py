"""How the parameters of the operator start; see `GeminiFusion` and docs/design/operator.md."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .functional import FusionParameters

__all__ = ["check_start", "draw", "noise_std_of", "optional_parameter"]

_LINEAR_INITS = ("trunc_normal", "xavier_uniform")
_NOISE_STD = {"released": 1.0, "balanced": 0.02}
"""By the start: how widely the learned noise is drawn. 0.02 as learned embeddings usually are."""


def check_start(owner: str, linear_init: str, noise_std: float | None, init: str) -> None:
    """Raise ValueError unless the arguments of a start are in their ranges."""
    if linear_init not in _LINEAR_INITS:
        raise ValueError(
            f"{owner}: linear_init must be one of {_LINEAR_INITS}, got {linear_init!r}"
        )
    if init not in _NOISE_STD:
        raise ValueError(f"{owner}: init must be one of {tuple(_NOISE_STD)}, got {init!r}")
    if noise_std is not None and not noise_std >= 0:
        raise ValueError(f"{owner}: noise_std must be 0 or more, got {noise_std!r}")


def noise_std_of(init: str, noise_std: float | None) -> float:
    """The deviation that was asked for, or that of the start."""
    return _NOISE_STD[init] if noise_std is None else noise_std


@torch.no_grad()
def draw(parameters: FusionParameters, linear_init: str, noise_std: float, init: str) -> None:
    """Draw parameters in place."""
    p = parameters
    bound = (6 / (4 * p.query_weight.shape[-1])) ** 0.5  # Xavier of one direction's (3C, C) matrix
    for weight in (p.query_weight, p.key_weight, p.value_weight):
        weight.uniform_(-bound, bound)
    for weight in p.out_weight:  # drawn in any case: what follows draws the same numbers
        _draw_linear(weight, linear_init)
    if init == "balanced":
        p.out_weight.zero_()
    for bias in (p.in_bias, p.out_bias):
        bias.zero_()
    if p.relation_in_weight is not None:
        _draw_linear(p.relation_in_weight, linear_init)
        _draw_linear(p.relation_out_weight, linear_init)
        p.relation_in_bias.zero_()
        p.relation_out_bias.zero_()
    if p.key_noise is not None:
        p.key_noise.normal_(std=noise_std)
        p.value_noise.normal_(std=noise_std)


def _draw_linear(weight: Tensor, linear_init: str) -> None:
    if linear_init == "trunc_normal":
        nn.init.trunc_normal_(weight, std=0.02)
    else:
        nn.init.xavier_uniform_(weight)


def optional_parameter(is_wanted: bool, *shape: int) -> Any:
    """A parameter that is yet to be drawn, or None."""
    return nn.Parameter(torch.empty(*shape)) if is_wanted else None

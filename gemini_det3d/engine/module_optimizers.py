"""One optimiser per part of a model, as adversarial training wants it, from one config.

mmengine can step several optimisers (``OptimWrapperDict``) but leaves building them to a
constructor. With this one the config keeps the form that mmdet3d's ``tools/train.py`` knows, so its
``--amp`` works unchanged.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapperDict
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.torch_version import TorchVersion

from gemini_det3d.models.bare import bare_model
from gemini_det3d.registration import register


@register(OPTIM_WRAPPER_CONSTRUCTORS)
class ModuleOptimWrapperConstructor:
    """Builds an ``OptimWrapperDict`` with an optimiser for each named part.

    ``optim_wrapper = dict(type='OptimWrapper', constructor='ModuleOptimWrapperConstructor',
    optimizer=dict(type='Adam', lr=2e-4), modules=['generator', 'discriminator'])``

    Args:
        optim_wrapper_cfg: As for one optimiser, with ``modules``: names of the parts, or what
            differs for each, ``dict(generator=dict(), discriminator=dict(optimizer=...))``.
        paramwise_cfg: As in mmengine; applies to each part.

    Raises:
        ValueError: ``modules`` is missing or empty.
    """

    def __init__(
        self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: Mapping[str, Any] | None = None
    ) -> None:
        config = copy.deepcopy(dict(optim_wrapper_cfg))
        modules: Mapping | Sequence | None = config.pop("modules", None)
        if not modules:
            raise ValueError("optim_wrapper.modules must name the parts to optimise")
        self.changes = dict(modules) if isinstance(modules, Mapping) else dict.fromkeys(modules)
        self.config, self.paramwise_cfg = config, paramwise_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build.

        Raises:
            ValueError: The model has no such part.
        """
        model = bare_model(model)
        wrappers = {}
        for name, change in self.changes.items():
            part = getattr(model, name, None)
            if not isinstance(part, nn.Module):
                raise ValueError(f"optim_wrapper.modules names {name!r}; {type(model).__name__} "
                                 "has no such module")  # fmt: skip
            config = _merged(self.config, change or {})
            paramwise = config.pop("paramwise_cfg", self.paramwise_cfg)
            if not _can_fuse(part):
                config.get("optimizer", {}).pop("fused", None)
            wrappers[name] = _PartConstructor(name, config, paramwise)(part)
        return CountedOptimWrappers(**wrappers)


class CountedOptimWrappers(OptimWrapperDict):
    """Optimisers that are each stepped once in an iteration.

    So their gradients that are gathered when the training ends are applied, as mmengine does it
    for one optimiser.
    """

    def initialize_count_status(self, model: nn.Module, cur_iter: int, max_iters: int) -> None:
        """Tell each where the training stands, and where it ends."""
        for wrapper in self.values():
            wrapper.initialize_count_status(model, cur_iter, max_iters)


def wrappers_of(wrapper: Any) -> list[tuple[str, Any]]:
    """What wraps each optimiser, by the part that it is for; alone under the empty name."""
    return list(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else [("", wrapper)]


class _PartConstructor(DefaultOptimWrapperConstructor):
    """mmengine's, for parameters that ``paramwise_cfg`` knows by their names in the whole model."""

    def __init__(self, part: str, config: dict, paramwise_cfg: Any) -> None:
        super().__init__(config, paramwise_cfg)
        self.part = part

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = "", **kwargs: Any
    ) -> None:
        """As mmengine's."""
        super().add_params(params, module, prefix or self.part, **kwargs)


def _can_fuse(part: nn.Module) -> bool:
    """Whether PyTorch has a step in one call for these parameters: on CPUs from 2.4 on."""
    has_step = TorchVersion(torch.__version__) >= (2, 4)
    return has_step or all(parameter.is_cuda for parameter in part.parameters())


def _merged(base: Mapping, change: Mapping) -> dict:
    """A copy of ``base`` with ``change`` laid over it, level by level."""
    merged = copy.deepcopy(dict(base))
    for key, value in change.items():
        inner = merged.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(inner, value) if both else copy.deepcopy(value)
    return merged

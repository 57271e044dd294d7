"""Initial weights that depend on the seed and a parameter's name alone.

A seed fixes the order of random numbers, not who gets them: an operator with one more layer shifts
the draws of every layer built after it, and runs of one seed are no pairs. Here a model is built
twice. The first time notes whose memory each draw fills; the second time each draw comes from a
generator of its own, seeded with seed, name and the draw's number.
"""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import set_random_seed
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gemini_det3d.models.bare import bare_model
from gemini_det3d.registration import register


@register(HOOKS)
class SeedByNameHook(Hook):
    """Starts a training from weights that variants of a model share where they share names.

    Off unless a config names it: ``default_hooks = dict(start=dict(type="SeedByNameHook"))``.
    Every parameter keeps its distribution; what is loaded or resumed afterwards overrules it. Draws
    of the training itself (dropout, augmentation in the main process) start anew at the seed. A
    parameter that is computed from random numbers, not filled with them, keeps its own draw.
    """

    priority = "VERY_HIGH"

    def before_run(self, runner: Any) -> None:
        """Put the named start in the place of the model's own; mmengine calls it when it trains."""
        model = bare_model(runner.model)

        def init_weights() -> None:
            config = runner.cfg.model
            state = named_start(lambda: _build(config), runner.seed).state_dict()
            model.load_state_dict(state)
            set_random_seed(runner.seed)

        model.init_weights = init_weights


def named_start(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A model whose random parameters are drawn by name.

    Args:
        build: Builds and initialises a model on the CPU, the same one each time.
        seed: With a name it decides the numbers.
    """
    with _Draws() as draws:
        model = build()
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    owners = {_memory(tensor): name for name, tensor in tensors.items()}
    with _Draws(seed, [owners.get(_memory(tensor)) for tensor in draws.filled]):
        return build()


class _Draws(TorchDispatchMode):
    """Notes every tensor that random numbers fill, and seeds those whose owners are given.

    Args:
        seed: Of all names.
        owners: Of each draw, a name or None.
    """

    def __init__(self, seed: int = 0, owners: Sequence[str | None] = ()) -> None:
        super().__init__()
        self._seed, self._owners = seed, owners
        self._counts: Counter[str] = Counter()
        self.filled: list[Tensor] = []  # kept: freed memory would become another tensor's

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence = (), kwargs: Mapping | None = None
    ) -> Any:
        """Run an operation of PyTorch."""
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        number = len(self.filled)
        owner = self._owners[number] if number < len(self._owners) else None
        if owner is None:
            result = func(*args, **(kwargs or {}))
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_seed_of(self._seed, owner, self._counts[owner]))
                result = func(*args, **(kwargs or {}))
            self._counts[owner] += 1
        self.filled.append(result if isinstance(result, Tensor) else torch.empty(0))
        return result


def _build(config: Mapping) -> nn.Module:
    model = MODELS.build(copy.deepcopy(config))
    if hasattr(model, "init_weights"):
        model.init_weights()
    return model


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _seed_of(seed: int, name: str, number: int) -> int:
    digest = hashlib.sha256(f"{seed}/{name}/{number}".encode()).digest()
    return int.from_bytes(digest[:7], "big")

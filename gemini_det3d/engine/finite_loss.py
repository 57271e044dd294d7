"""A loss that is not finite stops the training at once, and is traced to where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from gemini_det3d.engine.exact.seeding import STEP, seed_process
from gemini_det3d.engine.training_errors import TrainingError
from gemini_det3d.models.bare import bare_model
from gemini_det3d.registration import register

_FILE_KEYS = ("lidar_path", "img_path", "image_paths", "sample_idx", "index")


@register(HOOKS)
class FiniteLossHook(Hook):
    """Stops before a loss that is NaN or infinite reaches the weights.

    ``default_hooks = dict(finite_loss=dict(type="FiniteLossHook"))``. Each step waits for the
    loss's value, which on a GPU costs what mmengine's logging costs every so often. When it is not
    finite, the step is repeated with the same random numbers, module by module, to name the first
    one whose output is not finite, and the samples in the batch. Weights, and with them the last
    checkpoint, are still good. The repetition draws the same numbers with `ExactRunner`; with
    another runner it may miss. Of several processes all repeat the step, since some layers wait for
    each other's; that with the bad loss says where it comes from.
    """

    priority = "HIGH"

    def before_train(self, runner: Runner) -> None:
        """Watch what the optimisers get."""
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        for each in wrappers:
            each.update_params = _watched(each.update_params, self)
        self._runner, self._batch = runner, None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the batch, in case."""
        self._batch = data_batch

    def stop(self, loss: Tensor) -> None:
        """Name the origin.

        Raises:
            TrainingError: Always.
        """
        origin, row = first_not_finite(self._runner, self._batch)
        if bool(torch.isfinite(loss).all()):
            raise TrainingError(f"the loss of iteration {self._runner.iter + 1} is not finite in "
                                "another process, which says where it comes from")  # fmt: skip
        names = describe_batch(self._batch)
        where = names[row] if row is not None and row < len(names) else ", ".join(names)
        raise TrainingError(
            f"the loss of iteration {self._runner.iter + 1} is {float(loss)}; first not finite: "
            f"{origin}; sample: {where or 'unknown'}; neither the weights nor a checkpoint have "
            "taken it in"
        )


class _Repeated(Exception):
    """Ends the repetition."""


def first_not_finite(runner: Runner, batch: Any) -> tuple[str, int | None]:
    """Repeat a step and look at what each module gives.

    Args:
        runner: The runner; nothing of it is updated but running statistics.
        batch: What the step got.

    Returns:
        What is not finite (an input, a parameter, the output of a module), and in which sample of
        the batch where that can be told.
    """
    model = bare_model(runner.model)
    given = _given_not_finite(model, batch)
    if given is not None and get_world_size() == 1:
        return given
    found: list[tuple[str, int | None]] = []
    with _watching(model, found):
        seed_process(getattr(runner, "shared_seed", runner.seed), STEP, get_rank(), runner.iter)
        try:
            model.train_step(batch, _no_updates(runner.optim_wrapper))
        except _Repeated:
            pass
    if given is not None:
        return given
    return found[0] if found else ("the losses themselves, from finite outputs", None)


def _given_not_finite(model: nn.Module, batch: Any) -> tuple[str, int | None] | None:
    """What is not finite before anything is computed."""
    for name, parameter in model.named_parameters():
        if not _is_finite(parameter):
            return f"parameter {name}", None
    if not _is_finite(batch):
        return "an input", _row(batch["inputs"] if isinstance(batch, Mapping) else batch)
    return None


def describe_batch(batch: Any) -> list[str]:
    """The file, or the number, of each sample of a batch."""
    if not isinstance(batch, Mapping):
        return []
    metas = [s.metainfo for s in batch.get("data_samples", []) if isinstance(s, BaseDataElement)]
    metas = metas or [{"index": int(index)} for index in batch.get("index", [])]
    return [_first_of(meta) for meta in metas]


def _first_of(meta: Mapping) -> str:
    for key in _FILE_KEYS:
        if meta.get(key) is not None:
            value = meta[key]
            return str(value if isinstance(value, str) or key == "sample_idx" else f"{key} {value}")
    return "a sample without a name"


def _watched(update: Any, hook: FiniteLossHook) -> Any:
    def checked(loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if not _is_finite_everywhere(loss):
            hook.stop(loss.detach())
        update(loss, *args, **kwargs)

    return checked


def _is_finite_everywhere(loss: Tensor) -> bool:
    """Whether the losses of all processes are finite: all hear the same."""
    is_finite = torch.isfinite(loss.detach()).all().float()
    if get_world_size() > 1:
        all_reduce(is_finite, "min")
    return bool(is_finite)


class _Silent:
    """An optimiser wrapper that ends a step where the loss is not finite, and updates nothing."""

    def __init__(self, wrapper: OptimWrapper) -> None:
        self.optim_context = wrapper.optim_context

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if not _is_finite_everywhere(loss):
            raise _Repeated


def _no_updates(wrapper: Any) -> Any:
    if isinstance(wrapper, OptimWrapperDict):
        return {name: _Silent(each) for name, each in wrapper.items()}
    return _Silent(wrapper)


@contextmanager
def _watching(model: nn.Module, found: list[tuple[str, int | None]]) -> Iterator[None]:
    """Note the modules whose outputs are not finite, in the order in which they end."""

    def watch(name: str) -> Any:
        def look(module: nn.Module, inputs: Any, outputs: Any) -> None:
            if not _is_finite(outputs):
                found.append((f"module {name} ({type(module).__name__})", _row(outputs)))

        return look

    handles = [m.register_forward_hook(watch(n)) for n, m in model.named_modules() if n]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value.detach()).all())
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, value))
    return _is_finite(value.tensor) if isinstance(getattr(value, "tensor", None), Tensor) else True


def _row(value: Any) -> int | None:
    """The first sample of a batch that is not finite: a row of a tensor, an entry of a list."""
    if isinstance(value, Mapping):
        rows = [row for row in map(_row, value.values()) if row is not None]
        return min(rows, default=None)
    if isinstance(value, Tensor) and not value.dim():
        return None
    if isinstance(value, (Tensor, list)):
        return next((i for i, part in enumerate(value) if not _is_finite(part)), None)
    return None

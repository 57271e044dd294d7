"""What a resumed run keeps of its checkpoint although the config says otherwise.

mmengine restores optimisers and schedules whole, so the config's own settings have no effect then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from gemini_det3d.engine.module_optimizers import wrappers_of
from gemini_det3d.formats import FormatError

# By these an optimiser's kind is told: Adam's, SGD's, RMSprop's, Adadelta's.
_TELLING = {"betas", "momentum", "alpha", "rho"}
# What else a config says of a parameter group; rates have a check of their own.
_SETTINGS = (*sorted(_TELLING), "weight_decay", "eps", "amsgrad", "nesterov", "dampening")
# What a config says of a schedule; the rest of its state is where it stands.
_SCHEDULE = (
    "begin", "end", "T_max", "total_iters", "total_steps", "milestones", "step_size", "gamma",
    "power", "eta_min", "eta_min_ratio", "start_factor", "end_factor", "factor", "patience",
    "shape",
)  # fmt: skip


def check_optimizer(checkpoint: Mapping, now: Any, name: Any) -> None:
    """Refuse to go on with the state of an optimiser of another kind.

    Args:
        checkpoint: With its ``optimizer`` and, of `ExactRunner`, the classes of optimisers.
        now: What wraps the optimiser, or several.
        name: Of the file, for the error.

    Raises:
        FormatError: It is of another kind.
    """
    other = []
    for stored, built in zip(_groups(checkpoint["optimizer"]), _groups(now)):
        was, is_now = (", ".join(sorted(_TELLING & set(group))) for group in (stored, built))
        if was != is_now:
            other.append((f"with {was or 'none'}", f"has {is_now or 'none'}"))
    classes = optimizer_classes(now)
    for part, was in ((checkpoint.get("exact_state") or {}).get("optimizers") or {}).items():
        if classes.get(part, was) != was:
            other.append((f"of type {was}", f"is {classes[part]}"))
    if other:
        fault = f"is of an optimizer {other[0][0]}, the config's {other[0][1]}: a run goes on with "
        raise FormatError(name, f"{fault}the optimizer that it has; load_from starts anew")


def optimizer_classes(wrapper: Any) -> dict[str, str]:
    """Names of the optimisers' classes, by the parts that they are for."""
    return {name: type(each.optimizer).__name__ for name, each in wrappers_of(wrapper)}


def kept_settings(runner: Runner, checkpoint: Mapping) -> Iterator[str]:
    """What a resumed run does, in words, where its config says otherwise.

    Args:
        runner: Before it has restored anything.
        checkpoint: Of mmengine, with optimisers.
    """
    before, now = _groups(checkpoint["optimizer"]), _groups(runner.optim_wrapper)
    other = [change for pair in zip(before, now) for change in _changes(*pair, _SETTINGS)]
    if other:
        yield f"keeps the checkpoint's optimizer, not the config's: {_listed(other)}"
    other = _changed_schedules(checkpoint.get("param_schedulers"), runner.param_schedulers)
    if other:
        yield f"keeps the checkpoint's schedules, not the config's: {_listed(other)}"
    if "ema_state_dict" in checkpoint and not any(isinstance(h, EMAHook) for h in runner.hooks):
        yield "without EMAHook goes on from the averaged weights, and averages no more"


def rates(state: Any) -> Iterator[float]:
    """Learning rates, before any schedule, of an optimiser or several, built or in a checkpoint."""
    for group in _groups(state):
        yield float(group.get("initial_lr", group["lr"]))


def _changed_schedules(before: Any, now: Any) -> list[str]:
    stored, built = dict(_schedules(before)), dict(_schedules(now))
    if not stored or not built:
        return []
    if stored.keys() != built.keys():
        return [f"{len(stored)} of them (config: {len(built)})"]
    return [
        f"{name}.{change}"
        for name in stored
        for change in _changes(stored[name], built[name].state_dict(), _SCHEDULE)
    ]


def _schedules(schedules: Any) -> Iterator[tuple[str, Any]]:
    parts = schedules.items() if isinstance(schedules, Mapping) else [("", schedules)]
    for part, several in parts:
        for number, each in enumerate(several or ()):
            yield f"param_scheduler{'.' * bool(part)}{part}[{number}]", each


def _changes(before: Mapping, now: Mapping, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if name in before and name in now and _plain(before[name]) != _plain(now[name]):
            yield f"{name} {_plain(before[name])} (config: {_plain(now[name])})"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _listed(changes: list[str]) -> str:
    different = list(dict.fromkeys(changes))
    return ", ".join(different[:3]) + (", ..." if len(different) > 3 else "")


def _groups(state: Any) -> Iterator[Mapping]:
    """Parameter groups of an optimiser or of several by name, built or in a checkpoint."""
    if not isinstance(state, Mapping):
        for _, each in sorted(wrappers_of(state)):
            yield from each.param_groups
    elif "param_groups" in state:
        yield from state["param_groups"]
    else:
        for name in sorted(state):
            yield from _groups(state[name])

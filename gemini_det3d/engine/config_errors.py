"""Errors that a config leads to when its parts are built, or first run together, in one line."""

from __future__ import annotations

import os
import traceback
from types import FrameType
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner, TestLoop, ValLoop
from torch import nn

from gemini_det3d.engine.training_errors import TrainingError
from gemini_det3d.formats.device_faults import is_device_fault
from gemini_det3d.formats.errors import OTHER_FORM, FormatError

_BUILDING = {"build_from_cfg", "build_runner_from_cfg", "from_cfg"}
PIPELINE = "pipeline"
_NOT_FITTING = (RuntimeError, AssertionError, *OTHER_FORM)


def config_fault(error: BaseException) -> str | None:
    """What of a config an error is about.

    Args:
        error: As it was caught, with its frames.

    Returns:
        One line with the part of the model and the line of code; None for what does not come from
        building from a config, from the first step of a runner's training or evaluation, or, where
        there is no runner, from a pipeline or a model at all; and for faults of a GPU.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not _is_misfit(error):
        return None
    what = _what_and_where(error)
    if any(map(_is_building, frames)):
        return f"cannot be built: {what}"
    selves = [_self_of(frame) for frame in frames]
    runner = next((each for each in selves if isinstance(each, Runner)), None)
    if runner is None:
        misfit = step_fault(error)
        if misfit is not None:
            return str(misfit)
        names = _parts_of(next((each for each in selves if isinstance(each, BaseModel)), None))
    elif runner.iter > 0 and not any(map(_is_first_evaluated, frames)):
        return None
    else:
        names = {**_parts_of(runner.model), **_parts_of_optimizers(runner.optim_wrapper)}
    parts = [names[id(each)] for each in selves if each is not None and id(each) in names]
    return f"{parts[-1]} does not fit what it is given: {what}" if parts else None


def _parts_of(model: nn.Module | None) -> dict[int, str]:
    """Names that a config has for a model and what is in it, by their identities."""
    modules = [] if model is None else model.named_modules()
    return {id(each): f"model.{name}".rstrip(".") for name, each in modules}


def _parts_of_optimizers(wrapper: Any) -> dict[int, str]:
    several = wrapper.items() if isinstance(wrapper, OptimWrapperDict) else [("", wrapper)]
    return {id(each): f"optim_wrapper.{name}".rstrip(".") for name, each in several}


def step_fault(error: BaseException) -> FormatError | None:
    """Which step of a pipeline cannot take what the steps before it, or a data set, hand it.

    Args:
        error: As it was caught, with its frames.

    Returns:
        The step, its error and the line of code, of the file that the step was about to read, else
        of `PIPELINE`; None for what does not come from a step.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    places = [i for i, each in enumerate(frames) if isinstance(_self_of(each), BaseTransform)]
    if not places or not _is_misfit(error):
        return None
    step, what = type(_self_of(frames[places[-1]])).__name__, _what_and_where(error)
    words = [v for f in frames[places[-1] :] for v in f.f_locals.values() if isinstance(v, str)]
    file = next(filter(os.path.isfile, words), None)
    given = "its content, or is not set for it" if file else "what it is given"
    return FormatError(file or PIPELINE, f"{step} cannot use {given}: {what}")


def _is_misfit(error: BaseException) -> bool:
    is_told = isinstance(error, TrainingError) or is_device_fault(error)
    return isinstance(error, _NOT_FITTING) and not is_told


def _what_and_where(error: BaseException) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    words = " ".join(str(error.args[0] if len(error.args) == 1 else error).split())
    return f"{type(error).__name__}: {words or place.line} ({place.filename}:{place.lineno})"


def _is_building(frame: FrameType) -> bool:
    """Whether something is made from a config there: by a registry, or by a runner of mmengine's.

    A runner's optimisers are made by calling what a registry has made.
    """
    name = frame.f_code.co_name
    return name in _BUILDING or name.startswith("build_") and isinstance(_self_of(frame), Runner)


def _is_first_evaluated(frame: FrameType) -> bool:
    """Whether the first batch of a validation or a test is in work there."""
    is_loop = isinstance(_self_of(frame), (ValLoop, TestLoop))
    return is_loop and frame.f_locals.get("idx") == 0


def _self_of(frame: FrameType) -> Any:
    return frame.f_locals.get("self")

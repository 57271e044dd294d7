"""Errors that a config leads to when its parts are built, or first run together, in one line."""

from __future__ import annotations

import traceback
from types import FrameType
from typing import Any

import torch
from mmengine.runner import Runner
from torch import nn

from gemini_det3d.formats.errors import OTHER_FORM

_BUILDING = {"build_from_cfg", "build_runner_from_cfg", "from_cfg"}
_NOT_FITTING = (RuntimeError, AssertionError, *OTHER_FORM)


def config_fault(error: BaseException) -> str | None:
    """What of a config an error is about.

    Args:
        error: As it was caught, with its frames.

    Returns:
        One line with the part of the model and the line of code; None for what does not come from
        building from a config, or from the model's first step.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, torch.cuda.OutOfMemoryError) or not isinstance(error, _NOT_FITTING):
        return None
    place = traceback.extract_tb(error.__traceback__)[-1]
    words = " ".join(str(error.args[0] if len(error.args) == 1 else error).split())
    what = f"{type(error).__name__}: {words or place.line} ({place.filename}:{place.lineno})"
    if any(frame.f_code.co_name in _BUILDING for frame in frames):
        return f"cannot be built: {what}"
    selves = [_self_of(frame) for frame in frames]
    runner = next((each for each in selves if isinstance(each, Runner)), None)
    if runner is None or runner.iter > 0:
        return None
    names = {id(module): name for name, module in runner.model.named_modules()}
    parts = [
        names[id(each)] for each in selves if isinstance(each, nn.Module) and id(each) in names
    ]
    return f"model.{parts[-1]} does not fit what it is given: {what}" if parts else None


def _self_of(frame: FrameType) -> Any:
    return frame.f_locals.get("self")

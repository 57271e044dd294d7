"""Checkpoints as a training needs them, whoever wrote them: nothing of theirs is executed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gemini_det3d.engine.exact.checkpoint_files import check_whole
from gemini_det3d.engine.safe_globals import openmmlab_globals
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.torch_files import read_torch_file

# Parts of a checkpoint that mmengine takes apart, and their forms.
_FORMS = {"meta": Mapping, "message_hub": Mapping, "optimizer": Mapping,
          "param_schedulers": (list, Mapping), "exact_state": Mapping}  # fmt: skip
_HUB = {"log_scalars", "runtime_info", "resumed_keys"}


def read_training_checkpoint(path: str | os.PathLike, device: Any = "cpu") -> dict:
    """Read a checkpoint of mmengine, or bare parameters.

    Args:
        path: The file. Where a note with its digest lies beside it, it is checked first.
        device: Where the tensors go.

    Returns:
        Its content: tensors, plain data and mmengine's log histories. ``meta`` is without the text
        of a config, which mmengine would execute.

    Raises:
        FormatError: It cannot be read, is damaged, or holds anything that could run code.
    """
    check_whole(path)
    loaded = read_torch_file(path, openmmlab_globals(), device)
    if not isinstance(loaded, Mapping):
        raise FormatError(path, f"holds a {type(loaded).__name__}, not the dict of a checkpoint")
    for key, kinds in _FORMS.items():
        if key in loaded and not isinstance(loaded[key], kinds):
            raise FormatError(path, f"{key} is a {type(loaded[key]).__name__}")
    checkpoint = dict(loaded)
    if "meta" in checkpoint:
        meta = checkpoint["meta"].items()
        checkpoint["meta"] = {key: value for key, value in meta if key != "config"}
    return checkpoint


def require_parameters(checkpoint: Mapping, path: str | os.PathLike) -> None:
    """See that all parameters are tensors.

    Raises:
        FormatError: There are none, or one is not.
    """
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, Mapping) or not state:
        raise FormatError(path, "state_dict holds no parameters")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            kind = type(value).__name__
            raise FormatError(path, f"state_dict: {name!r:.80} is a {kind}, not a tensor")


def require_training_state(
    checkpoint: Mapping, path: str | os.PathLike, has_schedules: bool = False
) -> None:
    """See that a run can go on from it.

    Args:
        checkpoint: As it was read.
        path: Its file, for the error.
        has_schedules: Whether the run has some, which then must be in the checkpoint.

    Raises:
        FormatError: The place in the training, the optimizer's state or the schedules' is missing,
            or a part has another form.
    """
    meta = checkpoint.get("meta", {})
    for key in ("epoch", "iter"):
        value = meta.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise FormatError(path, f"cannot be resumed from: meta.{key} is {value!r:.40}")
    hub = checkpoint.get("message_hub")
    if not isinstance(hub, Mapping) or not _HUB <= set(hub):
        raise FormatError(path, "cannot be resumed from: it has no message_hub of mmengine's")
    for key in ("optimizer", "param_schedulers")[: 1 + has_schedules]:
        if key not in checkpoint:
            fault = f"cannot be resumed from: it has no {key} (best_* files have none)"
            raise FormatError(path, f"{fault}; load_from starts anew")

"""Checkpoints as a training needs them, whoever wrote them: nothing of theirs is executed."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch

from gemini_det3d.engine.exact.checkpoint_files import check_whole
from gemini_det3d.engine.safe_globals import admit_openmmlab_checkpoints
from gemini_det3d.formats import FormatError

# What torch's reader raises at a file that is broken, or that lies about itself.
_BROKEN = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError,
           AssertionError, ImportError, OverflowError, MemoryError)  # fmt: skip
_PARTS = {"meta": Mapping, "message_hub": Mapping, "optimizer": Mapping,
          "param_schedulers": (list, Mapping), "exact_state": Mapping}  # fmt: skip


def read_training_checkpoint(path: str | os.PathLike, device: Any = "cpu") -> dict:
    """Read a checkpoint of mmengine, or a bare state dict.

    Args:
        path: The file. Where a note with its digest lies beside it, it is checked first.
        device: Where the tensors go.

    Returns:
        Its content: tensors, plain data and mmengine's log histories. ``meta`` is without the text
        of a config.

    Raises:
        FormatError: It cannot be read, is damaged, or holds anything that could run code.
    """
    check_whole(path)
    _refuse_bombs(path)
    admit_openmmlab_checkpoints()
    try:
        loaded = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        if not isinstance(error, _BROKEN) and "Unpickling" not in type(error).__name__:
            raise
        raise FormatError(path, _fault(error)) from error
    return _checked(loaded, path)


def require_training_state(checkpoint: Mapping, path: str | os.PathLike) -> None:
    """See that a run can go on from it.

    Raises:
        FormatError: The place in the training is missing, or a part has another form.
    """
    meta = checkpoint.get("meta", {})
    for key in ("epoch", "iter"):
        value = meta.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise FormatError(path, f"cannot be resumed from: meta.{key} is {value!r:.40}")
    hub = checkpoint.get("message_hub")
    if not isinstance(hub, Mapping) or not {"log_scalars", "runtime_info", "resumed_keys"} <= set(
        hub
    ):
        raise FormatError(path, "cannot be resumed from: it has no message_hub of mmengine's")


def _checked(loaded: Any, path: str | os.PathLike) -> dict:
    if not isinstance(loaded, Mapping):
        raise FormatError(path, f"holds a {type(loaded).__name__}, not the dict of a checkpoint")
    for key, kinds in _PARTS.items():
        if key in loaded and not isinstance(loaded[key], kinds):
            raise FormatError(path, f"{key} is a {type(loaded[key]).__name__}")
    state = loaded.get("state_dict", loaded)
    if not isinstance(state, Mapping) or not state:
        raise FormatError(path, "state_dict holds no parameters")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise FormatError(path, f"state_dict: {name!r:.80} is a {type(value).__name__}, "
                              "not a tensor")  # fmt: skip
    if isinstance(loaded.get("meta"), dict):
        loaded["meta"].pop("config", None)  # mmengine would execute it
    return dict(loaded)


def _refuse_bombs(path: str | os.PathLike) -> None:
    """torch stores its archives uncompressed; one that is not could fill the memory.

    Raises:
        FormatError: It is.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # a broken directory; any of a dozen kinds
        raise FormatError(path, f"is not a readable checkpoint ({error})") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(
        entry.file_size for entry in entries
    ) > os.path.getsize(path):
        raise FormatError(path, "says that it is larger inside than the file is; it was not loaded")


def _fault(error: Exception) -> str:
    """torch's pages of advice, one of which is to run the code, as one line."""
    message = str(error)
    name = re.search(r"GLOBAL (\S+)", message) or re.search(r"function (<.*?>|\S+)", message)
    if "Unpickling" in type(error).__name__ and name:
        return (f"names {name.group(1)}, which is neither a tensor nor plain data and could run "
                "code; it was not loaded")  # fmt: skip
    first_line = (message.splitlines() or [type(error).__name__])[0]
    return f"is not a readable checkpoint ({first_line:.200})"

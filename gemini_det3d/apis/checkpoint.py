"""Checkpoints of strangers: tensors and plain data are taken, code never runs.

A checkpoint is a pickle, and a pickle may name any function to be called. PyTorch's restricted
reader (``weights_only=True``) admits tensors, but also refuses what OpenMMLab's training loop
stores beside them: log histories, schedulers, numpy numbers. Such names are bound to a stand-in
here that swallows whatever is done to it, so nothing of theirs is imported or called, and what
was made of them is dropped afterwards.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from gemini_det3d.formats.errors import FormatError


class _Dropped:
    """Stands for an object that is not wanted; any call or state leaves it as it is."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Dropped:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# Where names lead that a training loop of OpenMMLab leaves in its checkpoints: log histories,
# schedulers, numbers of numpy. `getattr` is how they name a method; here it gets nothing.
_DROPPED_PREFIXES = ("mmengine.", "mmcv.", "mmdet.", "mmdet3d.", "gemini_det3d.", "numpy.")
_DROPPED_NAMES = ("builtins.getattr",)


def _stand_in(name: str) -> type[_Dropped]:
    """A class that carries a full name, for the reader looks names up by what it is told."""
    module, _, qualname = name.rpartition(".")
    return type(qualname, (_Dropped,), {"__module__": module, "__qualname__": qualname})


def load_checkpoint_safely(path: str | os.PathLike) -> dict:
    """Read a checkpoint of PyTorch or OpenMMLab without running what it says.

    Args:
        path: The .pth file.

    Returns:
        ``state_dict`` (names -> tensors, on the CPU), ``meta`` (plain data; empty where there is
        none), and whatever else the file holds of tensors and plain data. A file that is a bare
        state dict is put under that key. Log histories and numpy values are left out.

    Raises:
        FormatError: It cannot be read, is cut off, names something that is neither a tensor nor
            plain data, or holds no parameters.
    """
    loaded = _load(path)
    if not isinstance(loaded, Mapping):
        raise FormatError(path, f"holds a {type(loaded).__name__}, not the dict of a checkpoint")
    if "state_dict" not in loaded and loaded and all(map(_is_tensor, loaded.values())):
        loaded = {"state_dict": loaded}
    checkpoint = _without_dropped(dict(loaded))
    state = checkpoint.get("state_dict")
    if not isinstance(state, Mapping) or not state:
        keys = ", ".join(map(str, list(loaded)[:5])) or "nothing"
        raise FormatError(path, f"holds no state_dict, but {keys}")
    strange = [name for name, value in state.items() if not _is_tensor(value)]
    if strange:
        kind = type(state[strange[0]]).__name__
        raise FormatError(path, f"state_dict: {strange[0]!r} is a {kind}, not a tensor")
    if not isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"] = {}
    return checkpoint


def load_plain_safely(path: str | os.PathLike) -> Any:
    """Read what a pickle of PyTorch holds of tensors and plain data, however it is laid out.

    Args:
        path: The file.

    Returns:
        Its content, without log histories and numpy values.

    Raises:
        FormatError: It cannot be read, is cut off, or names something that could run code.
    """
    return _without_dropped(_load(path))


def load_parameters(model: nn.Module, checkpoint: Mapping, path: str | os.PathLike) -> list[str]:
    """Put a checkpoint's parameters into a model.

    Args:
        model: Model to fill.
        checkpoint: What :func:`load_checkpoint_safely` returned.
        path: Its file, for the errors.

    Returns:
        Names in the checkpoint that the model does not have.

    Raises:
        FormatError: The model has parameters that the checkpoint lacks or holds in other shapes:
            the two do not belong together.
    """
    state = checkpoint["state_dict"]
    if state and all(name.startswith("module.") for name in state):  # a wrapper for many GPUs
        state = {name[len("module.") :]: value for name, value in state.items()}
    own = model.state_dict()
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    if missing:
        raise FormatError(path, f"{_some(missing)} of the config's model are not in it")
    try:
        result = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes
        shapes = re.findall(r"size mismatch for ([^:]+):", str(error))
        fault = f"{_some(shapes)} have other shapes than in the config" if shapes else str(error)
        raise FormatError(path, fault) from error
    return list(result.unexpected_keys)


@contextmanager
def _admitting_only(types: list) -> Iterator[None]:
    """torch's allow-list holds these types and nothing that somebody else has put there."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(types)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _load(path: str | os.PathLike) -> Any:
    if not hasattr(torch.serialization, "safe_globals"):
        raise FormatError(
            path, f"torch {torch.__version__} cannot read it safely; 2.5 or later can"
        )
    stand_ins: dict[str, type[_Dropped]] = {}
    try:
        while True:
            try:
                with _admitting_only(list(stand_ins.values())):
                    return torch.load(path, map_location="cpu", weights_only=True)
            except UnpicklingError as error:
                name = _unwanted_name(str(error))
                if name is None or name in stand_ins:
                    raise
                stand_ins[name] = _stand_in(name)  # and once more, past this name
    except FileNotFoundError:
        raise FormatError(path, "no such file") from None
    except IsADirectoryError:
        raise FormatError(path, "is a folder, not a checkpoint") from None
    except UnpicklingError as error:
        raise FormatError(path, _refusal(str(error))) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError,
            AttributeError, AssertionError) as error:  # fmt: skip  # what a broken file leads to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FormatError(path, f"is not a readable checkpoint ({reason})") from error


def _unwanted_name(message: str) -> str | None:
    """The name that stopped the reader, if it is one that may be swallowed."""
    match = re.search(r"Unsupported global: GLOBAL (\S+)", message)
    if match is None:
        return None
    name = match.group(1) if "." in match.group(1) else f"builtins.{match.group(1)}"
    return name if name.startswith(_DROPPED_PREFIXES) or name in _DROPPED_NAMES else None


def _refusal(message: str) -> str:
    """PyTorch's pages of advice, one of which is to run the code, as one line."""
    name = re.search(r"GLOBAL (\S+)", message) or re.search(r"function (<.*?>|\S+)", message)
    if name:
        return (
            f"names {name.group(1)}, which is neither a tensor nor plain data and could run code; "
            "it was not loaded"
        )
    return "is not a readable checkpoint (no pickle of tensors and plain data)"


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _without_dropped(value: Any) -> Any:
    """Plain containers without stand-ins; tensors and other values as they are."""
    if isinstance(value, Mapping):
        items = value.items()
        kept = {k: _without_dropped(v) for k, v in items if not _is_dropped(k, v)}
        if hasattr(value, "_metadata"):  # versions of the modules, which old layouts are told by
            kept = type(value)(kept)
            kept._metadata = value._metadata
        return kept
    if isinstance(value, (list, tuple, set)):
        return type(value)(_without_dropped(v) for v in value if not isinstance(v, _Dropped))
    return value


def _is_dropped(*values: Any) -> bool:
    return any(isinstance(value, _Dropped) for value in values)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{len(names)} parameters ({shown}{', ...' if len(names) > 3 else ''})"

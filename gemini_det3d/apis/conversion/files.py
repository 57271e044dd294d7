"""State dicts in files, read without running code and written so that nobody needs to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gemini_det3d.apis.checkpoint import load_plain_safely
from gemini_det3d.formats import FormatError

# Where training programs put the parameters; looked through in this order.
_WRAPPERS = ("state_dict", "model", "segmenter", "model_state_dict", "model_state", "net")
# What wrappers put before every name.
_PREFIXES = ("module.",)
SUFFIXES = (".pth", ".safetensors")


def read_state(path: str | os.PathLike) -> dict[str, Tensor]:
    """Parameters of a checkpoint of any program.

    Args:
        path: A ``.safetensors`` file, or a pickle of tensors and plain data, however wrapped.

    Returns:
        Names to tensors, on the CPU.

    Raises:
        FormatError: It cannot be read, could run code, or holds no parameters.
    """
    if Path(path).suffix == ".safetensors":
        return _read_safetensors(path)
    state = _unwrap(load_plain_safely(path))
    if not state:
        raise FormatError(path, f"holds no parameters, neither at the top nor in {_WRAPPERS}")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name[len(prefix) :]: tensor for name, tensor in state.items()}
    return state


def write_state(path: str | os.PathLike, state: Mapping[str, Tensor], meta: Mapping[str, str]):
    """Write parameters and a few words about them.

    Args:
        path: ``.safetensors``, or ``.pth``: then mmengine's ``load_from`` and ``init_cfg`` take
            it, and ``torch.load(weights_only=True)`` reads it.
        state: Names to tensors.
        meta: Plain text.

    Raises:
        FormatError: Another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise FormatError(path, f"must end with one of {', '.join(SUFFIXES)}")
    own = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            _safetensors(path).save_file(own, unfinished, metadata=dict(meta))
        else:
            torch.save({"state_dict": own, "meta": dict(meta)}, unfinished)
        os.replace(unfinished, path)
    except OSError as error:
        raise FormatError(path, f"cannot be written ({error.strerror or error})") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _unwrap(loaded: object) -> dict[str, Tensor]:
    """The first mapping that holds tensors, from the top down."""
    if not isinstance(loaded, Mapping):
        return {}
    for name in _WRAPPERS:
        if isinstance(loaded.get(name), Mapping):
            return _unwrap(loaded[name])
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}


def _read_safetensors(path: str | os.PathLike) -> dict[str, Tensor]:
    library = _safetensors(path)
    try:
        return library.load_file(path)
    except FileNotFoundError:
        raise FormatError(path, "no such file") from None
    except Exception as error:  # the library raises an error class of its own for each fault
        raise FormatError(path, f"is not a readable safetensors file ({error})") from error


def _safetensors(path: str | os.PathLike):
    try:
        import safetensors.torch
    except ImportError:
        raise FormatError(path, "needs the package safetensors; .pth needs nothing") from None
    return safetensors.torch

"""State dicts into files that need no code to be read, and that state their layout."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gemini_det3d.formats.errors import FormatError, first_line
from gemini_det3d.formats.files import write_whole

SUFFIXES = (".pth", ".safetensors")


def write_state(
    path: str | os.PathLike, state: Mapping[str, Tensor], meta: Mapping[str, str]
) -> None:
    """Write parameters and a few words about them.

    Args:
        path: ``.safetensors``, or ``.pth``: then mmengine's ``load_from`` and ``init_cfg`` take
            it, and ``torch.load(weights_only=True)`` reads it.
        state: Names to tensors; the versions of modules (``_metadata``) go into a .pth.
        meta: Plain text.

    Raises:
        FormatError: Another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise FormatError(path, f"must end with one of {', '.join(SUFFIXES)}")
    own = OrderedDict((n, tensor.detach().clone().contiguous()) for n, tensor in state.items())
    if path.suffix == ".safetensors":
        write_whole(path, _safetensors(path).save(dict(own), metadata=dict(meta)))
        return
    versions = getattr(state, "_metadata", None)
    if versions:
        own._metadata = versions  # type: ignore[attr-defined]
    try:
        write_whole(path, lambda file: torch.save({"state_dict": own, "meta": dict(meta)}, file))
    except RuntimeError as error:  # torch's own words for a write that failed
        raise FormatError(path, f"cannot be written ({first_line(error)})") from error


def _safetensors(path: str | os.PathLike):
    try:
        import safetensors.torch
    except ImportError:
        raise FormatError(path, "needs the package safetensors; .pth needs nothing") from None
    return safetensors.torch

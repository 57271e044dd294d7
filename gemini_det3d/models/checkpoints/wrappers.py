"""What training programs wrap around the parameters: dicts around them, words before names."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gemini_det3d.formats.errors import FormatError

_DICTS = (
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "segmenter",
    "net",
    "network",
    "module",
    "params",
    "ema_state_dict",
    "model_ema",
    "params_ema",
    "ema",
)
"""Where the parameters may lie; the first that is there counts, trained ones before averages."""

# Of eight bits; torch reckons with none of them.
_SMALL_FLOATS = frozenset(d for d in vars(torch).values() if str(d).startswith("torch.float8"))
# Numbers that averaged models keep beside the model.
_COUNTERS = frozenset({"steps", "n_averaged"})


def find_parameters(loaded: Any, path: str | os.PathLike) -> Mapping[str, Tensor]:
    """The mapping that holds the parameters, out of the dicts around it.

    Args:
        loaded: Content of a file.
        path: Its name, for the error.

    Returns:
        Names to tensors, as they are in the file.

    Raises:
        FormatError: There is none, or it holds something else too.
    """
    if not isinstance(loaded, Mapping):
        raise FormatError(path, f"holds a {type(loaded).__name__}, not the dict of a checkpoint")
    name, state = "", loaded
    while inner := next((k for k in _DICTS if isinstance(state.get(k), Mapping)), None):
        name, state = inner, state[inner]
    if not name:  # at the top of the file other things may lie beside
        tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
        state = state if len(tensors) == len(state) else tensors
    if not state:
        keys = ", ".join(map(str, list(loaded)[:5])) or "nothing"
        fault = f"{name} in it holds no tensors" if name else f"holds no state_dict, but {keys}"
        raise FormatError(path, fault)
    strange = [k for k, value in state.items() if not isinstance(value, Tensor)]
    if strange:
        kind = type(state[strange[0]]).__name__
        raise FormatError(path, f"{name}: {strange[0]!r} is a {kind}, not a tensor")
    return _dense(state, path)


def _dense(state: Mapping[str, Tensor], path: str | os.PathLike) -> Mapping[str, Tensor]:
    """The same where every tensor has its values, one after the other, in a type that counts."""
    for name, tensor in state.items():
        if tensor.is_meta or tensor.is_quantized:
            fault = "has no values (device meta)" if tensor.is_meta else "is quantised"
            raise FormatError(path, f"{name} {fault}; save the model's own parameters")
    strange = [n for n, t in state.items() if t.is_sparse or t.dtype in _SMALL_FLOATS]
    if not strange:
        return state
    dense = OrderedDict(state)
    dense.update({n: dense[n].to_dense() if dense[n].is_sparse else dense[n].float()
                  for n in strange})  # fmt: skip
    if hasattr(state, "_metadata"):
        dense._metadata = state._metadata  # type: ignore[attr-defined]
    return dense


def without_wrappers(state: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Names without what wrappers put there.

    ``module.`` before every name (many GPUs, averaged models, which keep a counter beside),
    ``_orig_mod.`` anywhere (``torch.compile``), and the averages that mmcv's hook kept among the
    parameters, ``ema_`` and underscores for dots.

    Returns:
        A new dict, which keeps the versions of the modules (``_metadata``) if there are any.
    """
    names = {name: str(name).replace("_orig_mod.", "") for name in state}
    while inner := {name: ours for name, ours in names.items() if ours not in _COUNTERS}:
        if not all(ours.startswith("module.") for ours in inner.values()):
            break
        names = {name: ours.removeprefix("module.") for name, ours in inner.items()}
    flat = {f"ema_{name.replace('.', '_')}" for name in names.values()}
    kept = OrderedDict((ours, state[n]) for n, ours in names.items() if ours not in flat)
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        kept._metadata = OrderedDict(  # type: ignore[attr-defined]
            (_module_name(name), version) for name, version in versions.items()
        )
    return kept


def _module_name(name: str) -> str:
    parts = [part for part in name.split(".") if part != "_orig_mod"]
    return ".".join(parts[1:] if parts[0] == "module" else parts)

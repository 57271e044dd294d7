"""The restricted reader for PyTorch before 2.6, whose own is missing or can be led astray.

Before 2.4 ``torch.load(weights_only=True)`` cannot be told what else to admit, up to 2.5 it does
not know tensors that reach beyond their storage, and code could run in spite of it
(CVE-2025-32434; not reproduced here). So those versions get an unpickler of ours, by
``torch.load(pickle_module=...)``.
It makes and calls what is listed here and what the caller admits, and builds on nothing but
instances of it.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, _utils

from gemini_det3d.formats.safe_pickle import PLAIN_CALLS
from gemini_det3d.formats.torch_files.left_out import LeftOut, may_be_left_out, stand_in

__all__ = ["restricted_pickle"]


def restricted_pickle(path: str | os.PathLike, admitted: Sequence = ()) -> Any:
    """What ``torch.load`` takes as ``pickle_module``.

    Args:
        path: The file that will be read.
        admitted: Types and functions besides, or pairs of one and the name that files give it, as
            ``torch.serialization.add_safe_globals`` takes them.
    """
    pairs = [each if isinstance(each, tuple) else (each, _name_of(each)) for each in admitted]
    names = {**_known_names(), **{name: value for value, name in pairs}}
    built = [value for value, _ in pairs if isinstance(value, type)]
    parts = {
        "names": names,
        "built": (OrderedDict, LeftOut, *built),
        "sizes": _sizes_of_storages(path),
    }
    unpickler: Any = type("Unpickler", (_Unpickler,), parts)
    return SimpleNamespace(
        __name__=__name__,
        Unpickler=unpickler,
        load=lambda file, **options: unpickler(file, **options).load(),
    )


_Python: Any = pickle._Unpickler  # the one written in Python, whose steps can be changed


class _Unpickler(_Python):
    names: dict[str, Any]
    built: tuple[type, ...]
    sizes: dict[str, int] | None
    dispatch = dict(_Python.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full in self.names:
            return self.names[full]
        if may_be_left_out(full):
            return stand_in(full)
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {full}")

    def load_build(self) -> None:
        made = self.stack[-2]
        if not isinstance(made, self.built):
            raise pickle.UnpicklingError(f"a state for {type(made).__name__}")
        super().load_build()

    def load_binpersid(self) -> None:
        if self.sizes is not None:
            _refuse_lie(self.stack[-1], self.sizes)
        super().load_binpersid()

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BINPERSID[0]] = load_binpersid


def _known_names() -> dict[str, Any]:
    kinds = (torch.dtype, torch.qscheme)
    names = {str(value): value for value in vars(torch).values() if isinstance(value, kinds)}
    return {
        **names,
        **{f"{module}.{name}": call for (module, name), call in PLAIN_CALLS.items()},
        "torch.Size": torch.Size,
        "torch.device": torch.device,
        "torch.serialization._get_layout": _layout,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_of_kind,
        "torch._utils._rebuild_qtensor": _quantised_tensor,
        "torch._utils._rebuild_sparse_tensor": _utils._rebuild_sparse_tensor,
        "torch._utils._rebuild_meta_tensor_no_storage": (_utils._rebuild_meta_tensor_no_storage),
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": _plain_tensor,
        "torch.storage.UntypedStorage": torch.UntypedStorage,
        "torch.Tensor": Tensor,
        "torch.nn.parameter.Parameter": torch.nn.Parameter,
    }


def _sizes_of_storages(path: str | os.PathLike) -> dict[str, int] | None:
    """Bytes by key; None for the layout before archives, where PyTorch looks itself."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        entries = [(PurePosixPath(entry.filename), entry) for entry in archive.infolist()]
    return {name.name: entry.file_size for name, entry in entries if name.parent.name == "data"}


def _refuse_lie(key: Any, sizes: dict[str, int]) -> None:
    """PyTorch would read on behind a storage that is said to be larger than it is."""
    _, kind, name, _, count = key
    claimed = count * _utils._element_size(getattr(kind, "dtype", torch.uint8))
    if claimed != sizes.get(name):
        raise pickle.UnpicklingError(f"a storage of {claimed} bytes, {sizes.get(name)} are there")


def _name_of(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _tensor(
    storage: Any, offset: int, size: tuple, stride: tuple, requires_grad: bool = False, *_: Any
) -> Tensor:
    """A tensor of its storage; hooks, which would be called later, are left out."""
    _refuse_beyond(storage, offset, size, stride, storage._element_size())
    return _utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, OrderedDict())


def _tensor_of_kind(
    storage: Any, offset: int, size: tuple, stride: tuple, requires_grad: bool, _: Any, kind: Any
) -> Tensor:
    """As `_tensor`, of a dtype that has no storage of its own (float8; PyTorch 2.3 on)."""
    _refuse_beyond(storage, offset, size, stride, _utils._element_size(kind))
    return _utils._rebuild_tensor_v3(
        storage, offset, size, stride, requires_grad, OrderedDict(), kind
    )


def _quantised_tensor(
    storage: Any, offset: int, size: tuple, stride: tuple, scales: tuple, *_: Any
) -> Tensor:
    _refuse_beyond(storage, offset, size, stride, storage._element_size())
    return _utils._rebuild_qtensor(storage, offset, size, stride, scales, False, OrderedDict())


def _refuse_beyond(storage: Any, offset: int, size: tuple, stride: tuple, bytes_each: int) -> None:
    """PyTorch would make the storage larger, and what is there then is anybody's memory."""
    numbers = (offset, *size, *stride)
    if any(type(number) is not int or number < 0 for number in numbers) or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor of no shape")
    reach = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride)) if all(size) else 0
    held = storage._untyped_storage.nbytes() // bytes_each
    if reach > held:
        raise pickle.UnpicklingError(f"a tensor that reaches to {reach} of {held} numbers")


def _parameter(data: Tensor, requires_grad: bool, *_: Any) -> torch.nn.Parameter:
    return torch.nn.Parameter(data, requires_grad)


def _plain_tensor(function: Callable, _: Any, arguments: tuple, __: Any) -> Tensor:
    """A tensor without the subclass and the attributes that it had."""
    return function(*arguments)


def _layout(name: str) -> torch.layout:
    layouts = {str(v): v for v in vars(torch).values() if isinstance(v, torch.layout)}
    return layouts[name]

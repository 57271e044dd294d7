"""The one reader of checkpoints: tensors and plain data are taken, code never runs.

A checkpoint is a pickle, and a pickle may name any function to be called. PyTorch's restricted
reader (``weights_only=True``) admits tensors, but also refuses what OpenMMLab's training loop
stores beside them: log histories, schedulers, numpy numbers. Such names are bound to a stand-in
here that swallows whatever is done to it, so nothing of theirs is imported or called, and what
was made of them is dropped afterwards.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from gemini_det3d.formats.errors import FormatError, first_line
from gemini_det3d.formats.files import refuse_devices
from gemini_det3d.formats.kinds import MOST_BYTES, seeming_kind
from gemini_det3d.models.checkpoints.wrappers import find_parameters, without_wrappers


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


_SAFETENSORS, _TORCH = ".safetensors", "torch"


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Read a checkpoint of any training program without running what it says.

    Args:
        path: A ``.safetensors`` file, or a pickle of PyTorch.

    Returns:
        ``state_dict`` (names -> tensors, on the CPU, without the prefixes of wrappers), ``meta``
        (plain data; empty where there is none), and whatever else the file holds of tensors and
        plain data. Log histories and numpy values are left out.

    Raises:
        FormatError: It cannot be read, is cut off, names something that is neither a tensor nor
            plain data, or holds no parameters.
    """
    loaded = _without_dropped(read_content(path))
    state = find_parameters(loaded, path)
    checkpoint = dict(loaded) if "state_dict" in loaded else {"meta": loaded.get("meta")}
    if not isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"] = {}
    return {**checkpoint, "state_dict": without_wrappers(state)}


def read_content(
    path: str | os.PathLike, admitted: Sequence = (), map_location: Any = "cpu"
) -> Any:
    """What a file holds, however it is laid out.

    Args:
        path: The file.
        admitted: Types that may be made, and functions that may be called, besides what tensors
            and plain data need, as ``torch.serialization.add_safe_globals`` takes them.
        map_location: Device of the tensors, as ``torch.load`` takes it.

    Returns:
        Its content; what OpenMMLab keeps beside it and is not admitted is a stand-in.

    Raises:
        FormatError: As :func:`read_checkpoint`.
    """
    refuse_devices(path)
    kind = _kind_of_file(path)
    if kind == _SAFETENSORS or kind == "" and Path(path).suffix.lower() == _SAFETENSORS:
        return _read_safetensors(path, map_location)
    if kind not in ("", _TORCH):
        raise FormatError(path, f"is no checkpoint, but {kind}")
    if not hasattr(torch.serialization, "safe_globals"):
        raise FormatError(
            path, f"torch {torch.__version__} cannot read it safely; 2.5 or later can"
        )
    _refuse_bombs(path)
    stand_ins: dict[str, type[_Dropped]] = {}
    try:
        while True:
            try:
                with _admitting_only([*admitted, *stand_ins.values()]), open(path, "rb") as file:
                    loaded = torch.load(file, map_location=map_location, weights_only=True)
                _refuse_lies(path, loaded)
                return loaded
            except UnpicklingError as error:
                name = _unwanted_name(str(error))
                if name is None or name in stand_ins:
                    raise
                stand_ins[name] = _stand_in(name)  # and once more, past this name
    except FileNotFoundError:
        raise FormatError(path, "no such file") from None
    except IsADirectoryError:
        raise FormatError(path, f"is a folder, not a checkpoint{_of_folder(path)}") from None
    except UnpicklingError as error:
        raise FormatError(path, _refusal(str(error))) from error
    except FormatError:
        raise
    except Exception as error:  # a broken file leads the reader to any of them
        fault = f"is not a readable checkpoint ({first_line(error)})"
        raise FormatError(path, fault) from error


def _kind_of_file(path: str | os.PathLike) -> str:
    """What the first bytes say: a layout of checkpoints, another kind of file, or nothing."""
    try:
        with open(path, "rb") as file:
            start = file.read(MOST_BYTES)
    except OSError:  # whoever reads it says why
        return ""
    if start[8:9] == b"{" and start[:2] != b"PK":  # behind the length of the header
        return _SAFETENSORS
    if start.startswith((b"PK", b"\x80")):
        return _TORCH
    if start.startswith(b"{"):
        return "JSON, which only lists the files of a checkpoint"
    return seeming_kind(start)


def _refuse_bombs(path: str | os.PathLike) -> None:
    """torch stores its archives uncompressed; one that is not could fill the memory.

    Raises:
        FormatError: It is compressed, claims more than the file can hold, names files outside, or
            is no archive of torch's.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception:  # no archive at all, or a broken one, of which torch says the rest
        return
    names = [entry.filename for entry in entries]
    other = _kind_of_archive(names)
    if other:
        raise FormatError(path, f"is no checkpoint, but {other}")
    inside = sum(entry.file_size for entry in entries)
    is_packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if is_packed or inside > Path(path).stat().st_size:
        raise FormatError(path, f"claims to hold {inside} bytes, packed; torch packs nothing, so "
                          "it was not loaded")  # fmt: skip
    for name in names:
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise FormatError(path, f"holds {name!r:.80}, a name that leads out of the archive")


def _kind_of_archive(names: Sequence[str]) -> str:
    """What a ZIP archive is by the names in it; empty where it is one of ``torch.save``."""
    files = {PurePosixPath(name).name for name in names}
    program = "; save the state_dict() of the module that it was made from"
    if "constants.pkl" in files:
        return f"a program of TorchScript{program}"
    if "archive_format" in files:
        return f"a program of torch.export{program}"
    if "data.pkl" in files:
        return ""
    return f"a ZIP archive of {', '.join(names[:3])}{', ...' if names[3:] else ''}; unpack it first"


def _of_folder(path: str | os.PathLike) -> str:
    """What to give in place of a folder."""
    inside = sorted(Path(path).iterdir(), key=lambda file: file.stat().st_mtime)
    if any(file.suffix == ".distcp" for file in inside):
        return "; torch.distributed.checkpoint.format_utils.dcp_to_torch_save makes a file of it"
    files = [file.name for file in inside if file.suffix in (".pth", ".pt", _SAFETENSORS)]
    return f"; its newest one is {files[-1]}" if files else ""


def _refuse_lies(path: str | os.PathLike, loaded: Any) -> None:
    """An older PyTorch (2.5.1) lets a tensor reach beyond what the file holds, into other memory.

    Raises:
        FormatError: There are more storages of a size than entries of it in the archive.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        held = Counter(entry.file_size for entry in archive.infolist())
    tensors = [leaf for leaf in tree_leaves(loaded) if _has_storage(leaf)]
    storages = {each.data_ptr(): each.nbytes() for each in map(Tensor.untyped_storage, tensors)}
    beyond = Counter(filter(None, storages.values())) - held
    if beyond:
        raise FormatError(path, f"claims tensors of {max(beyond)} bytes, and holds none of them")


def _has_storage(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def _read_safetensors(path: str | os.PathLike, map_location: Any) -> dict:
    try:
        import safetensors
    except ImportError:
        raise FormatError(path, "needs the package safetensors; .pth needs nothing") from None
    try:
        with safetensors.safe_open(path, "pt") as file:
            meta = dict(file.metadata() or {})
            state = {name: file.get_tensor(name).to(map_location) for name in file.keys()}
    except FileNotFoundError:
        raise FormatError(path, "no such file") from None
    except Exception as error:  # the library raises an error class of its own for each fault
        raise FormatError(path, f"is not a readable safetensors file ({error})") from error
    return {"state_dict": state, "meta": meta}


def _stand_in(name: str) -> type[_Dropped]:
    """A class that carries a full name, for the reader looks names up by what it is told."""
    module, _, qualname = name.rpartition(".")
    return type(qualname, (_Dropped,), {"__module__": module, "__qualname__": qualname})


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


def _without_dropped(value: Any) -> Any:
    """Plain containers without stand-ins; tensors and other values as they are."""
    if isinstance(value, Mapping):
        items = value.items()
        kept = {k: _without_dropped(v) for k, v in items if not _is_dropped(k, v)}
        if hasattr(value, "_metadata"):  # versions of the modules, which old layouts are told by
            kept = type(value)(kept)
            kept._metadata = value._metadata
        return kept
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (list, tuple, set)):
        return type(value)(_without_dropped(v) for v in value if not isinstance(v, _Dropped))
    return value


def _is_dropped(*values: Any) -> bool:
    return any(isinstance(value, _Dropped) for value in values)

"""The one reader of what PyTorch and safetensors write: tensors and plain data, code never runs.

Such a file is a pickle, and a pickle may name any function to be called. PyTorch's restricted
reader (``weights_only=True``) admits tensors, but also refuses what OpenMMLab's training loop
stores beside them: log histories, schedulers, numpy numbers. Those are left out (`left_out`).
"""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any

import torch
from torch.torch_version import TorchVersion

from gemini_det3d.formats.device_faults import is_device_fault
from gemini_det3d.formats.errors import FormatError, first_line
from gemini_det3d.formats.files import refuse_devices
from gemini_det3d.formats.kinds import MOST_BYTES, seeming_kind
from gemini_det3d.formats.torch_files.left_out import LeftOut, may_be_left_out, stand_in
from gemini_det3d.formats.torch_files.older_torch import restricted_pickle

_TORCH_CAN = TorchVersion(torch.__version__) >= "2.6"  # before: `older_torch`
_SAFETENSORS, _TORCH = ".safetensors", "torch"


def read_torch_file(
    path: str | os.PathLike, admitted: Sequence = (), map_location: Any = "cpu"
) -> Any:
    """What a file of tensors holds, however it is laid out.

    Args:
        path: A ``.safetensors`` file, or a pickle of PyTorch.
        admitted: Types that may be made, and functions that may be called, besides what tensors
            and plain data need, as ``torch.serialization.add_safe_globals`` takes them.
        map_location: Device of the tensors, as ``torch.load`` takes it.

    Returns:
        Its content; what OpenMMLab keeps beside it and is not admitted is a stand-in.

    Raises:
        FormatError: It cannot be read, is cut off, or names something that is neither a tensor nor
            plain data.
    """
    refuse_devices(path)
    kind = _kind_of_file(path)
    if kind == _SAFETENSORS or kind == "" and Path(path).suffix.lower() == _SAFETENSORS:
        return _read_safetensors(path, map_location)
    if kind not in ("", _TORCH):
        raise FormatError(path, f"is no checkpoint, but {kind}")
    read = _read_by_torch if _TORCH_CAN else _read_by_us
    try:
        _refuse_archives(path)
        return read(path, admitted, map_location)
    except FileNotFoundError:
        raise FormatError(path, "no such file") from None
    except IsADirectoryError:
        raise FormatError(path, f"is a folder, not a checkpoint{_of_folder(path)}") from None
    except UnpicklingError as error:
        raise FormatError(path, _refusal(str(error))) from error
    except FormatError:
        raise
    except Exception as error:  # a broken file leads the reader to any of them
        if is_device_fault(error):
            raise
        fault = f"is not a readable checkpoint ({first_line(error)})"
        raise FormatError(path, fault) from error


def _read_by_torch(path: str | os.PathLike, admitted: Sequence, map_location: Any) -> Any:
    stand_ins: dict[str, type[LeftOut]] = {}
    while True:
        try:
            with _admitting_only([*admitted, *stand_ins.values()]), open(path, "rb") as file:
                return torch.load(file, map_location=map_location, weights_only=True)
        except UnpicklingError as error:
            name = _unwanted_name(str(error))
            if name is None or name in stand_ins:
                raise
            stand_ins[name] = stand_in(name)  # and once more, past this name


def _read_by_us(path: str | os.PathLike, admitted: Sequence, map_location: Any) -> Any:
    with open(path, "rb") as file:
        restricted = restricted_pickle(path, admitted)
        return torch.load(file, map_location, pickle_module=restricted, weights_only=False)


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


def _refuse_archives(path: str | os.PathLike) -> None:
    """What no state dict needs and some version of PyTorch would follow.

    Raises:
        FormatError: It is a tar file, no archive of torch's, compressed (torch packs nothing, so it
            could fill the memory), claims more than the file can hold, or names files outside.
    """
    if tarfile.is_tarfile(path):
        raise FormatError(path, "is no checkpoint, but a tar archive; unpack it first")
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
    there = [file for file in Path(path).iterdir() if file.exists()]  # a link may lead nowhere
    inside = sorted(there, key=lambda file: file.stat().st_mtime)
    if any(file.suffix == ".distcp" for file in inside):
        return "; torch.distributed.checkpoint.format_utils.dcp_to_torch_save makes a file of it"
    files = [file.name for file in inside if file.suffix in (".pth", ".pt", _SAFETENSORS)]
    return f"; its newest one is {files[-1]}" if files else ""


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
        if is_device_fault(error):
            raise
        raise FormatError(path, f"is not a readable safetensors file ({error})") from error
    return {"state_dict": state, "meta": meta}


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
    return name if may_be_left_out(name) else None


def _refusal(message: str) -> str:
    """PyTorch's pages of advice, one of which is to run the code, as one line."""
    name = re.search(r"GLOBAL (\S+)", message) or re.search(r"function (<.*?>|\S+)", message)
    if name:
        return (
            f"names {name.group(1)}, which is neither a tensor nor plain data and could run code; "
            "it was not loaded"
        )
    return "is not a readable checkpoint (no pickle of tensors and plain data)"

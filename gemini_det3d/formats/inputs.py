"""Inputs are never overwritten: what a command writes is compared with what it reads, before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gemini_det3d.formats.errors import FormatError

_SUFFIXES = {"json": ".json", "report": ".json", "markdown": ".md", "rrd": ".rrd"}
WRITTEN = (*_SUFFIXES, "target")
"""Arguments of commands that name a file to write."""


def keep_files(written: Iterable[str | os.PathLike], inputs: Iterable[str | os.PathLike]) -> None:
    """Refuse to write over a file that is read.

    Links, other spellings of a path and file systems without upper case are seen through.

    Raises:
        FormatError: One is both.
    """
    read = {_identity(path) for path in inputs}
    for path in written:
        if _identity(path) in read:
            raise FormatError(path, "is an input and would be overwritten; choose another output")


def keep_folders(
    out: str | os.PathLike, inputs: Iterable[str | os.PathLike], with_subfolders: bool = False
) -> None:
    """Refuse to write into a folder that is read, or that a file which is read lies in.

    Args:
        out: Folder that results would go to.
        inputs: Files and folders that are read.
        with_subfolders: Whether folders inside one that is read are refused as well.

    Raises:
        FormatError: It is such a folder.
    """
    folders = {Path(path) if Path(path).is_dir() else Path(path).parent for path in inputs}
    read = {_identity(folder): folder for folder in folders}
    target = Path(os.path.realpath(out))
    for folder in (target, *(target.parents if with_subfolders else ())):
        if _identity(folder) in read:
            fault = f"is, or lies in, a folder of inputs ({read[_identity(folder)]})"
            raise FormatError(out, f"{fault}, whose files results could replace; choose another")


def keep_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse a command's arguments where a file to write is one that is read, or no such file.

    Args:
        arguments: Values by name; those of `WRITTEN` are written, every other path is read.

    Raises:
        FormatError: A file would be overwritten that the command did not write itself.
    """
    paths = {n: v for n, v in _flat(arguments) if isinstance(v, (str, os.PathLike)) and v}
    written = [path for name, path in paths.items() if name.split(".")[0] in WRITTEN]
    others = (path for name, path in paths.items() if name.split(".")[0] not in WRITTEN)
    keep_files(written, [path for path in others if os.path.isfile(path)])
    for name, suffix in _SUFFIXES.items():
        path = Path(paths.get(name, f"none{suffix}"))
        if path.is_file() and path.suffix.lower() != suffix:
            raise FormatError(path, f"is there and no {suffix} file; --{name} would overwrite it")


def _flat(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in arguments.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        yield from ((f"{name}.{i}" if i else name, each) for i, each in enumerate(values))


def _identity(path: str | os.PathLike) -> tuple[int, int] | str:
    try:
        status = os.stat(path)
        return status.st_dev, status.st_ino
    except OSError:
        return os.path.realpath(path)

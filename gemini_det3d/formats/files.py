"""Files that are written whole or not at all, and folders that are there to take them."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kinds import MOST_BYTES, seeming_kind

_CHUNK = 1 << 22
UNFINISHED = ".part"
"""Suffix of what is still being written; only an interrupted process leaves such a file."""


def write_whole(
    path: str | os.PathLike,
    content: bytes | str | Callable[[BinaryIO], object],
    durable: bool = False,
) -> None:
    """Write a file under another name first: it has its own name only when it is complete.

    A link within its folder is followed, and what is no regular file (``/dev/stdout``, a pipe) is
    written directly. A link to a file elsewhere is refused: in a folder from somebody else it would
    say which file of yours is replaced.

    Args:
        path: File to write; its folder is made when there is none.
        content: Bytes, text (written as UTF-8), or a function that writes to an open binary file.
        durable: Wait until the disk has it, so that it also outlives a machine that stops.

    Raises:
        FormatError: It cannot be written: a folder or file is in the way, it may not be written,
            the disk is full, it is a link to a file elsewhere. What stood there before stays as it
            was.
    """
    target = Path(os.path.realpath(path))
    make_folder(target.parent)
    if target.is_file() and target.parent != Path(os.path.realpath(Path(path).parent)):
        raise FormatError(path, f"is a link to {target}, in another folder; name that file itself")
    if target.is_dir():
        raise FormatError(path, "cannot be written (is a folder)")
    if isinstance(content, str):
        content = content.encode("utf-8")
    try:
        if target.exists() and not target.is_file():
            with open(target, "wb") as file:
                _fill(file, content)
        else:
            _replace(target, content, durable)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FormatError(path, f"cannot be written ({error.strerror or error})") from error


def make_folder(path: str | os.PathLike) -> Path:
    """Make a folder with its parents, or see that it can take files.

    Commands call it before hours of work and not after.

    Raises:
        FormatError: A file is in the way, or the folder cannot be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        above = [path, *path.parents]
        in_the_way = next((p for p in above if p.exists() and not p.is_dir()), path)
        raise FormatError(in_the_way, "is a file, but a folder is needed there") from None
    except OSError as error:
        raise FormatError(path, f"cannot be made ({error.strerror or error})") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise FormatError(path, "may not be written to")
    return path


def require_folder(path: str | os.PathLike, what: str = "folder") -> Path:
    """See that a folder is there to be read.

    Args:
        path: Of it.
        what: What is expected, for the error.

    Raises:
        FormatError: There is none, or a file, of which it says the kind.
    """
    path = Path(path)
    if path.is_dir():
        return path
    if not path.is_file():
        raise FormatError(path, f"no such {what}")
    try:
        with open(path, "rb") as file:
            kind = seeming_kind(file.read(MOST_BYTES))
    except OSError:
        kind = ""
    raise FormatError(path, f"is a file, expected a {what}{kind and f': it is {kind}'}")


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal, read piece by piece."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def refuse_devices(path: str | os.PathLike) -> None:
    """Refuse to read what may never end: a device, a pipe, a socket, or a link to one.

    Args:
        path: What is to be read; what is not there passes.

    Raises:
        FormatError: It is such a thing.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:  # whoever opens it says why
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise FormatError(path, "is a device or a pipe, not a file; copy it to a file first")


def _replace(target: Path, content: bytes | Callable[[BinaryIO], object], durable: bool) -> None:
    unfinished = target.with_name(f".{secrets.token_hex(6)}{UNFINISHED}")
    try:
        with open(unfinished, "wb") as file:
            _fill(file, content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(unfinished, target)
        if durable:
            _sync_folder(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk, too, where the system lets folders be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fill(file: BinaryIO, content: bytes | Callable[[BinaryIO], object]) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content)

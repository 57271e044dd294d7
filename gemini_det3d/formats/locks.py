"""Folders that one process works in at a time."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from gemini_det3d.formats.errors import FormatError

_NAME = "lock"


@contextmanager
def alone(folder: str | os.PathLike, work: str, patience_s: float = 0.0) -> Iterator[None]:
    """Be the only process that does a work in a folder; released by the system if it is killed.

    The file ``lock`` in the folder says who that is. Where the system or the disk has no such
    locks, nothing is held.

    Args:
        folder: It is there.
        work: What is done, for the error.
        patience_s: How long another one is waited for, seconds.

    Raises:
        FormatError: Another one is at work there.
    """
    with open(Path(folder) / _NAME, "a+", encoding="utf-8") as file:
        until = time.monotonic() + patience_s
        while not _take(file):
            if time.monotonic() >= until:
                file.seek(0)
                raise FormatError(folder, f"another {work} is at work there ({file.read(200)})")
            time.sleep(0.2)
        file.truncate(0)
        file.write(_name_of_this_process())
        file.flush()
        try:
            yield
        finally:
            _release(file)  # a child that was forked meanwhile has the file open, too


def _take(file: TextIO) -> bool:
    """Lock a file until it is closed; False: another process has."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network disks
        pass
    return True


def _release(file: TextIO) -> None:
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


def _name_of_this_process() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    return f"{platform.node()}, process {os.getpid()}" + (f", job {job}" if job else "")

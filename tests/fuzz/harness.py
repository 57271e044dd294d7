"""What every reader of a user's file owes: a result or one line, soon, in little memory."""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gemini_det3d.formats import FormatError

LONGEST_S = 1.0
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    Attributes:
        suffix: Of its files.
        good: Content of a file that it reads.
        read: Reads a path; may raise FormatError and nothing else.
        check: Looks at the result; raises what it likes where it cannot be right.
    """

    suffix: str
    good: bytes
    read: Callable[[Path], object]
    check: Callable[[object], object] = lambda result: None


def faults_of(reader: Reader, files: Iterable[tuple[str, bytes]], folder: Path) -> list[str]:
    """Read every file.

    Args:
        reader: The reader.
        files: What was done to a file, and its content.
        folder: Where to write them.

    Returns:
        One line for each file that led to anything but a right result or a one-line FormatError
        that names it, within a second and a gibibyte.
    """
    path = folder / f"file{reader.suffix}"
    faults = []
    before = peak_bytes()
    for name, content in files:
        path.write_bytes(content)
        started = time.perf_counter()
        fault = _fault_of(reader, path)
        seconds = time.perf_counter() - started
        if seconds > LONGEST_S:
            fault = f"{fault}; took {seconds:.1f} s"
        if fault:
            faults.append(f"{name}: {fault}")
    if peak_bytes() - before > MOST_BYTES:
        faults.append(f"took {(peak_bytes() - before) >> 20} MiB")
    return faults


def _fault_of(reader: Reader, path: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.check(reader.read(path))
    except FormatError as error:
        if "\n" in str(error) or not str(error).startswith(str(path.parent)):
            return f"says {str(error)!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

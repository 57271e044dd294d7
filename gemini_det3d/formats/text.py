"""Small text files, read and written so that every failure names the file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import write_whole


def read_bytes(path: str | os.PathLike) -> bytes:
    """The whole file.

    Args:
        path: File to read.

    Returns:
        Its content.

    Raises:
        FormatError: It is missing, a folder, or may not be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FormatError(path, "no such file") from None
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror})") from error


def read_lines(path: str | os.PathLike) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers.

    Args:
        path: UTF-8 text file.

    Returns:
        ``(number, text)`` of every line that is not blank; numbers count from 1.

    Raises:
        FormatError: It cannot be read or is not text.
    """
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(path, f"is not a text file (byte {error.start})") from None
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in lines if line]


def parse_numbers(path: str | os.PathLike, words: Sequence[str], where: str) -> np.ndarray:
    """Words as finite numbers.

    Args:
        path: File they come from, for the error.
        words: The words.
        where: Their place in the file, for the error (``line 3``, ``P2``).

    Returns:
        ``(len(words),)`` float64.

    Raises:
        FormatError: A word is not a number, or is NaN or infinite.
    """
    values = []
    for word in words:
        try:
            number = float(word)
        except ValueError:
            raise FormatError(path, f"{where}: {word!r} is not a number") from None
        if not math.isfinite(number):
            raise FormatError(path, f"{where}: {word!r} is not finite")
        values.append(number)
    return np.array(values, dtype=np.float64)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, whole or not at all, making its folder when there is none.

    Args:
        path: File to write.
        text: Its content.

    Raises:
        FormatError: It cannot be written; see :func:`write_whole`.
    """
    write_whole(path, text)

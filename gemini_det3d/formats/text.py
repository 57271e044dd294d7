"""Small text files, read and written so that every failure names the file."""

from __future__ import annotations

import codecs
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import refuse_devices, write_whole
from gemini_det3d.formats.kinds import seeming_kind


def read_bytes(path: str | os.PathLike) -> bytes:
    """The whole file.

    Raises:
        FormatError: It is missing, a folder, no file at all, or may not be read.
    """
    refuse_devices(path)
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FormatError(path, "no such file") from None
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror})") from error


def read_text(path: str | os.PathLike) -> str:
    """A text file as every reader here takes it: what editors leave around the text is no text.

    Args:
        path: UTF-8 text file, with or without a byte-order mark, with any ends of lines.

    Returns:
        Its text; lines end with a line feed alone.

    Raises:
        FormatError: It cannot be read or is not UTF-8 text.
    """
    data = read_bytes(path)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FormatError(path, "is UTF-16 text; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        kind = seeming_kind(data) or f"byte {error.start}"
        raise FormatError(path, f"is not a text file ({kind})") from None
    if "\0" in text:
        kind = seeming_kind(data) or f"byte {data.index(0)}"
        raise FormatError(path, f"is not a text file ({kind})")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | os.PathLike) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers.

    Returns:
        ``(number, text)`` of every line that is not blank; numbers count from 1.

    Raises:
        FormatError: It cannot be read or is not text.
    """
    lines = (
        (number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), start=1)
    )
    return [(number, line) for number, line in lines if line]


def first_words(paths: Iterable[str | os.PathLike]) -> set[str]:
    """What lines of label or result files begin with: the classes.

    A file that cannot be read adds none; who reads the rest of it is told.
    """
    words: set[str] = set()
    for path in paths:
        with suppress(FormatError):
            words |= {line.split(maxsplit=1)[0] for _, line in read_lines(path)}
    return words


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
            number = float(word.replace("_", "?"))  # Python's own digits groups are nobody's
        except ValueError:
            raise FormatError(path, f"{where}: {word!r} is not a number") from None
        if not math.isfinite(number):
            raise FormatError(path, f"{where}: {word!r} is not finite")
        values.append(number)
    return np.array(values, dtype=np.float64)


def read_json(path: str | os.PathLike) -> Any:
    """What a JSON file holds.

    Returns:
        Plain containers, text and numbers.

    Raises:
        FormatError: It cannot be read or is no JSON, or gives a key twice with other values.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=lambda pairs: _once(pairs, path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, f"is no JSON ({error})") from None


def _once(pairs: list[tuple[str, Any]], path: str | os.PathLike) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise FormatError(path, f"{key!r} is given twice, with other values")
        found[key] = value
    return found


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write a JSON file, whole or not at all; see :func:`write_text`."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def without_nan(content: Any) -> Any:
    """Plain containers with None for numbers that JSON does not have: NaN and infinite ones."""
    if isinstance(content, Mapping):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def split_words(name: str) -> list[str]:
    """A name's words, each up to its dash or slash; the dash of ``1e-3`` is part of a number."""
    return re.split(r"(?<=[-/])(?<!\de-)", name)


def without_shared_words(names: Sequence[str]) -> list[str]:
    """Names without the words that all begin with; a last word stays."""
    parts = [split_words(name) for name in names]
    shared = 0
    while all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
        shared += 1
    return ["".join(p[shared:]) for p in parts]


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, whole or not at all, making its folder when there is none.

    Raises:
        FormatError: It cannot be written; see :func:`write_whole`.
    """
    write_whole(path, text)

"""Files as they arrive when something went wrong on the way; the same seed, the same file."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Mutation = Callable[[bytes, random.Random], bytes]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _start_lost(data: bytes, rng: random.Random) -> bytes:
    return data[rng.randrange(1, len(data)) :]


def _bytes_changed(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 3, 30))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _head_changed(data: bytes, rng: random.Random) -> bytes:
    """In the first bytes, where sizes and kinds are told."""
    changed = bytearray(data)
    for _ in range(3):
        changed[rng.randrange(min(len(changed), 64))] = rng.randrange(256)
    return bytes(changed)


def _parts_swapped(data: bytes, rng: random.Random) -> bytes:
    first, second = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[second:] + data[first:second] + data[:first]


def _zeroed(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice((1, 100, 100000)))
    return data[:start] + bytes(stop - start) + data[stop:]


def _twice(data: bytes, _: random.Random) -> bytes:
    return data + data


def _word_changed(data: bytes, rng: random.Random) -> bytes:
    words = data.split(b" ")
    strange = (b"nan", b"inf", b"-1e309", b"1e30", b"x", b"", b"9" * 400, b"-7", b"\xff", b"0x10")
    words[rng.randrange(len(words))] = rng.choice(strange)
    return b" ".join(words)


def _line_lost(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def _utf16(data: bytes, _: random.Random) -> bytes:
    return data.decode("latin-1").encode("utf-16")


def _marked(data: bytes, _: random.Random) -> bytes:
    return b"\xef\xbb\xbf" + data


def _as_text_of_windows(data: bytes, _: random.Random) -> bytes:
    return data.replace(b"\n", b"\r\n")


MUTATIONS: dict[str, Mutation] = {
    "cut": _cut,
    "start lost": _start_lost,
    "bytes changed": _bytes_changed,
    "head changed": _head_changed,
    "parts swapped": _parts_swapped,
    "zeroed": _zeroed,
    "twice": _twice,
    "word changed": _word_changed,
    "line lost": _line_lost,
    "utf-16": _utf16,
    "byte-order mark": _marked,
    "CRLF": _as_text_of_windows,
}


def mutated(
    data: bytes, others: Sequence[bytes], number: int, seed: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Damaged versions of a good file, and files of other kinds in its place.

    Args:
        data: The good file, not empty.
        others: Good files of other kinds.
        number: How many damaged ones.
        seed: The same, the same files.

    Yields:
        What was done, and the content.
    """
    yield "empty", b""
    yield "blanks", b" \n\t\n"
    for index, other in enumerate(others):
        yield f"another kind {index}", other
    kinds = list(MUTATIONS)
    for index in range(number):
        kind = kinds[index % len(kinds)]
        yield f"{kind} {index}", MUTATIONS[kind](data, random.Random(f"{seed}/{index}"))


_STRANGE: tuple[Any, ...] = (None, "x", -1, 1e400, [], {}, [[1]], {"x": 1}, b"", True, "9" * 99)


def restructured(content: Any, number: int, seed: int = 0) -> Iterator[tuple[str, Any]]:
    """Containers in which one value, somewhere, is of another kind or gone.

    Args:
        content: Nested dicts and lists.
        number: How many.
        seed: The same, the same containers.

    Yields:
        What was done, and the container.
    """
    for index in range(number):
        rng = random.Random(f"{seed}/{index}")
        changed = copy.deepcopy(content)
        place, key = rng.choice(list(_places(changed)))
        if rng.random() < 0.2:
            del place[key]
            yield f"without {key} {index}", changed
        else:
            place[key] = rng.choice(_STRANGE)
            yield f"{key} is {place[key]!r:.20} {index}", changed


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(content) if isinstance(content, dict) else range(len(content))
    for key in keys:
        yield content, key
        if isinstance(content[key], (dict, list)):
            yield from _places(content[key])

"""Pickles of plain containers and numpy arrays, and of nothing else.

A pickle is a program: what it names, it may call. Info files of mmdet3d need lists, dicts,
numbers, text and numpy arrays, so only these are admitted. Nothing of numpy is handed to the
pickle either: arrays and dtypes are described by stand-ins and built here, from checked parts.
"""

from __future__ import annotations

import io
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kinds import seeming_kind
from gemini_det3d.formats.text import read_bytes

# Booleans, numbers, bytes and text of fixed width; no objects, records or void.
_DTYPE = re.compile(r"[biufcSU]\d*")
_BYTE_ORDERS = ("<", ">", "=", "|")


def load_plain_pickle(path: str | os.PathLike) -> Any:
    """Read a pickle of plain containers and numpy arrays.

    Returns:
        What it holds: None, booleans, numbers, text, bytes, lists, tuples, dicts, sets and numpy
        arrays and scalars of these kinds.

    Raises:
        FormatError: It cannot be read, is no whole pickle, or names anything else (which is then
            not imported, let alone called).
    """
    return parse_plain_pickle(read_bytes(path), path)


def parse_plain_pickle(data: bytes, path: str | os.PathLike) -> Any:
    """Bytes of a pickle as an object; see :func:`load_plain_pickle`.

    Raises:
        FormatError: As above.
    """
    unpickler = _PlainUnpickler(io.BytesIO(data))
    try:
        loaded = unpickler.load()
        return _resolve(loaded, {}) if unpickler.has_arrays else loaded
    except _RefusedError as error:
        fault = f"names {error}, but only plain containers and numpy arrays are admitted"
        raise FormatError(path, fault) from None
    except Exception as error:  # a broken pickle can raise anything; all of it means this
        reason = seeming_kind(data) or str(error) or type(error).__name__
        raise FormatError(path, f"is no readable pickle ({reason})") from error


class _RefusedError(Exception):
    """Carries the name that a pickle may not use."""


class _Admitted:
    """A function that a pickle may call, but neither inspect nor change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise _RefusedError("a change of a built-in")


class _DtypeStandIn:
    """A dtype as a pickle describes it: a kind and, in a second step, a byte order."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise _RefusedError(f"the numpy dtype {code!r}")
        self._code = code
        self._order: Any = "="

    def __setstate__(self, state: tuple) -> None:
        # (version, byte order, sub-dtype, field names, fields, size, alignment, flags)
        if state[1] not in _BYTE_ORDERS or any(part is not None for part in state[2:5]):
            raise _RefusedError("a numpy dtype with fields")
        self._order = state[1]

    def build(self) -> np.dtype:
        return np.dtype(self._code).newbyteorder(self._order)


class _ArrayStandIn:
    """An array as a pickle describes it: nothing first, then shape, dtype and bytes."""

    __slots__ = ("_array",)

    def __init__(self, *_: object) -> None:
        self._array = np.zeros(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self._array = _build_array(data, dtype, shape, "F" if is_fortran else "C")

    def build(self) -> np.ndarray:
        return self._array


def _build_array(data: Any, dtype: _DtypeStandIn, shape: Any, order: Any = "C") -> np.ndarray:
    flat = np.frombuffer(bytes(data), dtype=dtype.build())
    return flat.reshape(shape, order=order).copy(order=order)


def _build_scalar(dtype: _DtypeStandIn, data: bytes) -> Any:
    return np.frombuffer(data, dtype=dtype.build())[0]


def _encode(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 and below spell bytes."""
    if encoding != "latin1":
        raise _RefusedError(f"the encoding {encoding!r}")
    return text.encode("latin1")


def _bytes(content: bytes = b"") -> bytes:
    """Bytes of other bytes, never of a size."""
    return b"".join([content])


def _bytearray(content: bytes | str = b"", _: str = "latin-1") -> bytearray:
    """As protocols below 5 spell it: from bytes, or from text of one byte a letter."""
    return bytearray(content.encode("latin1") if isinstance(content, str) else _bytes(content))


def _numpy_names() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {("numpy", "ndarray"): None}
    names["numpy", "dtype"] = _Admitted(_DtypeStandIn)
    for package in ("numpy.core", "numpy._core"):
        names[f"{package}.multiarray", "_reconstruct"] = _Admitted(_ArrayStandIn)
        names[f"{package}.multiarray", "scalar"] = _Admitted(_build_scalar)
        names[f"{package}.numeric", "_frombuffer"] = _Admitted(_build_array)
    return names


_BUILTINS = {
    "set": _Admitted(set),
    "frozenset": _Admitted(frozenset),
    "bytes": _Admitted(_bytes),
    "bytearray": _Admitted(_bytearray),
    "complex": _Admitted(complex),
}
PLAIN_CALLS: dict[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): _Admitted(OrderedDict),
    ("_codecs", "encode"): _Admitted(_encode),
    # Protocols 2 and below call the module as Python 2 did.
    **{(module, n): f for module in ("builtins", "__builtin__") for n, f in _BUILTINS.items()},
}
"""What a pickle calls to make plain containers, by module and name."""
_ADMITTED: dict[tuple[str, str], Any] = {**PLAIN_CALLS, **_numpy_names()}


class _PlainUnpickler(pickle.Unpickler):
    has_arrays = False

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _RefusedError(f"{module}.{name}")
        if module.startswith("numpy"):
            self.has_arrays = True
        return _ADMITTED[module, name]


def _resolve(value: Any, done: dict[int, Any]) -> Any:
    """Put arrays where the stand-ins are; lists and dicts stay the same objects."""
    if isinstance(value, (_ArrayStandIn, _DtypeStandIn)):
        return value.build()
    if isinstance(value, tuple):
        return tuple(_resolve(item, done) for item in value)
    if not isinstance(value, (list, dict)) or id(value) in done:
        return value
    done[id(value)] = value
    entries = enumerate(value) if isinstance(value, list) else list(value.items())
    for key, item in entries:
        value[key] = _resolve(item, done)
    return value

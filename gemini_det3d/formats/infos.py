"""Info files of mmdet3d (v2): pickles, or their JSON twins, which cannot hold code at all.

``kitti_infos_train.pkl`` may have a twin ``kitti_infos_train.json`` beside it. It holds the same
and the SHA-256 of the pickle that it was made from, and is read in its place.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.safe_pickle import parse_plain_pickle
from gemini_det3d.formats.text import read_bytes

MADE_FROM = "made_from_sha256"


def load_infos(path: str | os.PathLike) -> Any:
    """Content of an info file; of its twin, if it has one.

    Raises:
        FormatError: It cannot be read, would run code, or the twin is another pickle's.
    """
    path = preferred_infos(path)
    return parse_infos(read_bytes(path), path)


def parse_infos(data: bytes, path: str | os.PathLike) -> Any:
    """Bytes of an info file as what they hold.

    Args:
        data: Content of the file.
        path: Its name: one that ends in ``.json`` is JSON, any other a pickle.

    Raises:
        FormatError: It cannot be read, or would run code.
    """
    if Path(path).suffix != ".json":
        return parse_plain_pickle(data, path)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(path, f"is no JSON file ({error})") from error


def preferred_infos(path: str | os.PathLike) -> Path:
    """The file to read for an info file: its twin or itself.

    Args:
        path: A pickle, which need not exist if its twin does, or any other file.

    Raises:
        FormatError: The twin was made from another pickle.
    """
    path = Path(path)
    twin = path.with_suffix(".json")
    if path.suffix != ".pkl" or not twin.is_file():
        return path
    content = parse_infos(read_bytes(twin), twin)
    if not isinstance(content, dict) or MADE_FROM not in content:  # a file of another kind
        return path
    if path.is_file() and content[MADE_FROM] != _digest(read_bytes(path)):
        raise FormatError(twin, f"was made from another {path.name} than there is now: convert it "
                          "again, or delete one of the two")  # fmt: skip
    return twin


def write_twin(path: str | os.PathLike) -> Path:
    """Write the JSON twin of an info pickle; the pickle stays.

    Raises:
        FormatError: The pickle cannot be read, would run code, holds no infos, or something that
            JSON cannot say; or the twin cannot be written.
    """
    data = read_bytes(path)
    content = parse_plain_pickle(data, path)
    if not isinstance(content, dict) or not {"metainfo", "data_list"} <= set(content):
        raise FormatError(path, "is no info file of mmdet3d 1.x (a dict with metainfo and "
                          "data_list)")  # fmt: skip
    try:
        text = json.dumps({MADE_FROM: _digest(data), **content}, default=_plain)
    except (TypeError, ValueError) as error:
        raise FormatError(path, f"holds what JSON cannot say ({error})") from error
    twin = Path(path).with_suffix(".json")
    if json.loads(text)["data_list"] != _normal(content["data_list"]):
        raise FormatError(path, "holds keys that JSON would turn into text")
    write_whole(twin, text + "\n")
    return twin


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _plain(value: Any) -> Any:
    """What JSON has no word for: arrays become lists, numpy's numbers numbers."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__}")


def _normal(value: Any) -> Any:
    """The same with lists for tuples and arrays, and with text for keys that are none."""
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(item) for item in value]
    return _plain(value) if isinstance(value, (np.ndarray, np.generic)) else value

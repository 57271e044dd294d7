"""Configs as lines of text, to compare them: read without running what a file says."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gemini_det3d.formats.config_text import parse_config_text
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.text import read_text

_DICTS = ("model", "train_cfg", "train_dataloader", "val_dataloader", "randomness")


def read_dumped_config(path: Path) -> dict[str, Any]:
    """What mmengine dumped; see :func:`parse_config_text`.

    Raises:
        FormatError: It cannot be read, is not Python, or has a value where mmengine has a dict.
    """
    config = parse_config_text(read_text(path), path)
    for key in _DICTS:
        if not isinstance(config.get(key) or {}, Mapping):
            raise FormatError(path, f"{key} is a {type(config[key]).__name__}, not a dict")
    return config


def config_lines(config: Mapping[str, Any]) -> list[str]:
    """A line for every value, with its whole key; steps of a pipeline are named by their type.

    Returns:
        ``train_dataloader.dataset.pipeline[Resize].scale = [416, 128]`` and so on, sorted by the
        outermost key.
    """
    return [line for key in sorted(map(str, config)) for line in _lines(key, config[key])]


def _lines(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name in sorted(value, key=str):
            yield from _lines(f"{key}.{name}", value[name])
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        for item in value:
            kind = item.get("type") if isinstance(item, Mapping) else None
            yield from _lines(f"{key}[{kind or ''}]", item)
    else:
        yield f"{key} = {_as_list(value)!r}"


def _as_list(value: Any) -> Any:
    """Tuples as lists: a dump may have either."""
    return [_as_list(item) for item in value] if isinstance(value, (list, tuple)) else value


def diff_lines(base: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """What a config changes, ``- key = value`` and ``+ key = value``."""
    diff = difflib.unified_diff(config_lines(base), config_lines(config), n=0, lineterm="")
    return [f"{line[0]} {line[1:]}" for line in list(diff)[2:] if not line.startswith("@@")]


def base_of(path: Path) -> dict[str, Any] | None:
    """All that a config inherits, resolved; None where it inherits nothing.

    Args:
        path: A config that may be run: of this plug-in, or one that the user named.
    """
    from mmengine.config import Config
    from mmengine.hub import get_config

    named = read_dumped_config(path).get("_base_")
    if not named:
        return None
    found: dict[str, Any] = {}
    for name in [named] if isinstance(named, str) else named:
        if "::" in name:
            found.update(get_config(name).to_dict())
        else:
            found.update(Config.fromfile(path.parent / name).to_dict())
    return found

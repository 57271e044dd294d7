"""Finding and reading configs, in a checkout or inside the installed wheel."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import gemini_det3d

if TYPE_CHECKING:
    from mmengine.config import Config

# The toy configs were named by their epochs once.
_EPOCHS_IN_NAME = re.compile(r"(_1xb[24])-(?:6e|10e|12e|30e)_(?=(?:scenes|look-alikes|rooms)-)")
PACKAGE = Path(gemini_det3d.__file__).resolve().parent


class ConfigError(ValueError):
    """A config that is not there or cannot be used; one line."""


def config_root() -> Path:
    """Folder of the plug-in's configs: in the wheel, else in the checkout."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def find_config(name: str) -> Path:
    """Path of a config.

    Args:
        name: A path to a config file, or the name of one of ours with or without ``.py`` and the
            folders that it lies in here.

    Raises:
        ConfigError: Neither; the message lists similar names, or all where none is similar.
    """
    path = Path(name)
    if path.is_file():
        return path.resolve()
    ours = [p for p in sorted(config_root().rglob("*.py")) if "_base_" not in p.parts]
    wanted = path.stem if path.suffix == ".py" else path.name
    wanted = _EPOCHS_IN_NAME.sub(r"\1-toy_", wanted)  # their names until 0.1
    matches = [p for p in ours if p.stem == wanted]
    if len(matches) == 1:
        folders = path.parent.parts
        if folders != matches[0].parent.parts[-len(folders) :] and folders:
            raise ConfigError(f"{name}: no such file; this plug-in's own config is {wanted}")
        return matches[0]
    names = [p.stem for p in ours]
    hint = close_names(wanted, names) or f"; this plug-in has: {', '.join(names)}"
    hint = " (that is a folder)" if path.is_dir() else hint
    raise ConfigError(f"no config {name!r}{hint}")


def close_names(word: str, known: Sequence[str]) -> str:
    """The end of a message about a name that does not exist: those like it, if any."""
    close = get_close_matches(word, known, 3, 0.6)
    return f"; close to it: {', '.join(close)}" if close else ""


def read_config(config: str | os.PathLike | Config) -> Config:
    """A config from its path, its bare name, or as it is.

    Raises:
        ConfigError: There is none, it cannot be read (it is a program, and may end in any error),
            or it has no model.
    """
    from mmengine.config import Config

    path: object = config.filename if isinstance(config, Config) else None
    if not isinstance(config, Config):
        path = find_config(os.fspath(config))
        try:
            config = Config.fromfile(path)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(f"{path}: cannot be read ({reason})") from error
    if not isinstance(config.get("model"), Mapping):
        raise ConfigError(f"{path or 'config'}: has no model = dict(type=...)")
    return config


def read_changed_config(name: str, options: list[str], allow_missing: Sequence[str] = ()) -> Config:
    """A config with changes.

    Args:
        name: Path or bare name.
        options: ``KEY=VALUE``, as mmdet3d's tools take them.
        allow_missing: What checkpoints of it may lack; goes to its CheckedLoadingHook.

    Raises:
        ConfigError: There is no such config, it cannot be read, or a change would change nothing.
    """
    import argparse

    from mmengine.config import DictAction

    from gemini_det3d.apis.config_changes import checked_changes

    config = read_config(name)
    if not all("=" in word for word in options):
        raise ConfigError(f"--cfg-options {' '.join(options)}: expected KEY=VALUE")
    options = checked_changes(config.to_dict(), options)
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    changes = parser.parse_args(["--cfg-options", *options] if options else []).cfg_options
    config.merge_from_dict(changes)
    if not isinstance(config.model, Mapping):
        raise ConfigError(f"--cfg-options model: is {config.model!r}, expected a dict of its parts")
    if allow_missing:
        hook = dict(type="CheckedLoadingHook", allow_missing=list(allow_missing))
        config.merge_from_dict({"default_hooks": {"checked_loading": hook}})
    return config


def mmdet3d_mim() -> Path:
    """Folder inside mmdet3d's wheel with its configs and tools.

    Raises:
        ConfigError: mmdet3d is not installed, or installed without them.
    """
    from importlib.util import find_spec

    spec = find_spec("mmdet3d")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("mmdet3d is not installed (gemini-det3d doctor says how)")
    package = Path(spec.submodule_search_locations[0])
    # A wheel carries them in .mim; a checkout has them beside the package.
    for folder in (package / ".mim", package.parent):
        if (folder / "tools" / "train.py").is_file():
            return folder
    raise ConfigError(f"{package} holds no tools/train.py; install mmdet3d from its wheel")

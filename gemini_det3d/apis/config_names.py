"""Names that a config file sets and nothing reads: misspelt, or its base has computed with its own.

mmengine runs the base first, so ``point_cloud_range = [...]`` in a child changes no part of the
model that the base built with that name.
"""

from __future__ import annotations

import ast
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError, close_names
from gemini_det3d.apis.config_changes import CLOSED, known_names, twins_of
from gemini_det3d.apis.reports.config_text import base_of

_CLOSE = 0.8  # as "modle" to "model"


def check_names(config: Any) -> None:
    """Refuse a file whose names look as if they changed what the base has made with them.

    A name is refused where the runner still reads the base's value in its place, and the file's
    nowhere; and where it is much like one that the runner reads. So is an unknown key of an entry
    that takes few.

    Args:
        config: mmengine's, as it was read from its file.

    Raises:
        ConfigError: There is such a name; the message says what to set instead.
    """
    path = Path(config.filename)
    if path.suffix != ".py":
        return
    names = _only_set(path.read_text(encoding="utf-8"))
    base = (base_of(path) if names else None) or {}
    entries = config.to_dict()
    for entry, known in CLOSED.items():
        for key in config.get(entry) or ():
            if key not in known:
                hint = close_names(key, known)
                raise ConfigError(f"{path}: nothing reads {entry}.{key}{hint}")
    for name in sorted(names & set(config)):
        close = get_close_matches(name, known_names(), 1, _CLOSE)
        if close and not _is_variable(name) and name not in base:
            raise ConfigError(f"{path}: nothing reads {name}; close to it: {close[0]}")
        if name not in base or base[name] == config[name]:
            continue
        kept = twins_of(entries, name, base[name])
        if kept and not twins_of(entries, name, config[name], by_name=False):
            raise ConfigError(
                f"{path}: {name} changes nothing: the base config has computed with its own; set "
                f"{', '.join(kept)}"
            )


def _is_variable(name: str) -> bool:
    """Whether a runner reads it, or mmdet3d's own configs leave it unused."""
    return name in known_names() or name.endswith("_pipeline") or name.startswith("eval_")


def _only_set(text: str) -> set[str]:
    """Names that a file assigns at its top and does not use."""
    tree = ast.parse(text)
    targets = [t for each in tree.body if isinstance(each, ast.Assign) for t in each.targets]
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    return {target.id for target in targets if isinstance(target, ast.Name)} - used

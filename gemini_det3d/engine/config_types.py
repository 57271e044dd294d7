"""What a config's ``type`` stands for, in each of the forms that mmengine takes.

A name, a name with a scope (``mmengine.CheckpointHook``) or the path of a class, the class itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry


def type_name(config: Any) -> str:
    """Name of the class, without scope or path; empty where no ``type`` is given."""
    kind = config.get("type", "") if isinstance(config, Mapping) else ""
    return kind.__name__ if isinstance(kind, type) else str(kind or "").rpartition(".")[2]


def class_of(kind: Any, registry: Registry) -> Any:
    """The class that a registry would build for a ``type``; None where it knows none."""
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(None) as found:
        return found.get(kind)

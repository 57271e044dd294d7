"""Names in mmengine's registries that never replace somebody else's class.

Names such as ``SumFusion`` or ``SegFlip`` describe; another plug-in may have chosen them, too.
``register_module(force=True)`` would replace its class in silence, and without ``force`` our own
second import (a reloaded notebook) would fail. ``register`` tells the two apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def register(registry: Any, name: str | None = None) -> Callable[[Class], Class]:
    """Decorate a class of this plug-in that a registry shall build.

    Args:
        registry: An mmengine ``Registry``.
        name: Its name there; None: the class's own.

    Returns:
        The decorator. It gives the class back as it is; the same class imported anew takes the
        old one's place.

    Raises:
        KeyError: The name is another class's, as mmengine's own ``register_module`` has it; the
            message names both.
    """

    def add(kind: Class) -> Class:
        key = name or kind.__name__
        other = registry.module_dict.get(key)
        if other is not None and _path(other) != _path(kind):
            raise KeyError(
                f"{key} is already registered in {registry.scope}'s {registry.name}, by "
                f"{_path(other)}; {_path(kind)} does not replace it: register the other one under "
                f"another name, or import one of the two only"
            )
        registry.register_module(name=key, module=kind, force=True)
        return kind

    return add


def _path(kind: Any) -> str:
    return f"{kind.__module__}.{getattr(kind, '__qualname__', kind)}"

"""Data sets inside the wrappers of mmengine and mmdet3d (Repeat, Concat, CBGS, ...)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def leaf_configs(settings: Any) -> list[Mapping]:
    """The configs of the data sets that a config wraps.

    Args:
        settings: Config of a data set or of a wrapper, which has others under ``dataset`` or
            ``datasets``.

    Returns:
        Those that wrap nothing, in their order: the very objects, so that they can be changed.
    """
    return [] if not isinstance(settings, Mapping) else _leaves(settings, Mapping.get)


def leaf_datasets(dataset: Any) -> list[Any]:
    """The same of a data set that is built."""
    return _leaves(dataset, lambda wrapper, name: getattr(wrapper, name, None))


def with_leaves(settings: Mapping, change: Callable[[Mapping], Mapping]) -> dict:
    """A wrapper's config around changed data sets.

    Args:
        settings: Config of a data set or of a wrapper; stays as it is.
        change: From the config of a data set that wraps nothing to another.
    """
    if isinstance(settings.get("datasets"), (list, tuple)):
        inner = [with_leaves(each, change) for each in settings["datasets"]]
        return {**settings, "datasets": inner}
    if isinstance(settings.get("dataset"), Mapping):
        return {**settings, "dataset": with_leaves(settings["dataset"], change)}
    return dict(change(settings))


def _leaves(node: Any, get: Callable[[Any, str], Any]) -> list[Any]:
    inner = get(node, "datasets")
    if not isinstance(inner, (list, tuple)):
        one = get(node, "dataset")
        inner = [] if one is None or isinstance(one, str) else [one]
    return [leaf for each in inner for leaf in _leaves(each, get)] or [node]

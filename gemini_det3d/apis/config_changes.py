"""Changes of a config by ``KEY=VALUE``, checked: a change that nothing reads is an error.

mmengine merges any key into a config after the config has been computed. A name that the config
only computed with (``max_epochs``) has no effect then, and neither has a misspelt one.
"""

from __future__ import annotations

import copy
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from gemini_det3d.apis.config import ConfigError, close_names
from gemini_det3d.apis.schedule_ends import moved_ends

# What mmengine's and our runner read of a config beside the runner's own arguments.
_READ_ELSEWHERE = (
    "activation_checkpointing", "compile", "custom_imports", "efficient_conv_bn_eval",
    "find_unused_parameters", "max_bad_samples", "model_wrapper_cfg", "on_bad_sample",
    "runner_type", "sync_bn", "tta_model", "tta_pipeline",
)  # fmt: skip
# Dicts that mmengine builds something from without a `type`; a wrong key is an error there.
_BUILT = (
    "default_hooks", "log_processor", "optim_wrapper", "param_scheduler", "randomness", "test_cfg",
    "test_dataloader", "train_cfg", "train_dataloader", "val_cfg", "val_dataloader",
)  # fmt: skip
_BLANK = re.compile(r"[^\s,\[\](){}:=]\s+[^\s,\[\](){}:=]")
_KEPT_WORKERS = "persistent_workers"
CLOSED = {
    "auto_scale_lr": ("enable", "base_batch_size"),
    "env_cfg": ("cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"),
}
"""Entries of which the runner reads these keys alone."""


def checked_changes(config: Mapping[str, Any], changes: Sequence[str]) -> list[str]:
    """All ``KEY=VALUE`` together, as :func:`effective_changes` has each.

    Where one changes the ``type`` of a part, the others may set what that type takes; what one
    brings along gives way to what another says.

    Raises:
        ConfigError: One has no effect, names a ``type`` that nobody knows, or holds a blank that
            mmengine's scripts would take out of it.
    """
    typed = copy.deepcopy(dict(config))
    given = {change.partition("=")[0] for change in changes}
    for change in changes:
        key, _, value = change.partition("=")
        if _BLANK.search(value):
            fault = f"mmdet3d's scripts would take the blanks out of {value!r}"
            raise ConfigError(f"--cfg-options {key}: {fault}; say it in a config")
        part, _, last = key.rpartition(".")
        is_read = last == "type" and key.split(".")[0] in known_names()
        if is_read and isinstance(node := _node(typed, part), dict):
            _check_type(key, node, value.strip("'\""))
            node["type"] = value
    found = {}
    for change in changes:
        for each in effective_changes(typed, change):
            key = each.partition("=")[0]
            if each == change or not any(f"{key}.".startswith(f"{own}.") for own in given):
                found[key] = each
    return list(found.values())


def _check_type(key: str, node: Mapping, kind: str) -> None:
    """Refuse a class that is not registered in place of one that is."""
    if "type" not in node or _find_class(node["type"], node.get("_scope_")) is None:
        return  # a function of mmcv's, say, which is looked up elsewhere
    if kind != "None" and _find_class(kind, node.get("_scope_")) is None:
        known = sorted({name for table in _tables() for name in table.module_dict})
        raise ConfigError(f"--cfg-options {key}: nothing is registered as {kind!r}"
                          f"{close_names(kind, known)}")  # fmt: skip


def _node(config: Any, path: str) -> Any:
    """What lies at a dotted path; None where nothing does."""
    for part in path.split(".") if path else ():
        if isinstance(config, (list, tuple)) and part.isdigit() and int(part) < len(config):
            config = config[int(part)]
        else:
            config = config.get(part) if isinstance(config, Mapping) else None
    return config


def effective_changes(config: Mapping[str, Any], change: str) -> list[str]:
    """A ``KEY=VALUE`` as changes that have an effect.

    Returns:
        The same; for ``data_root`` a change of every entry that names a file or folder below it;
        with ``num_workers=0`` none are kept, either; with another end of the training the schedules
        that ended with it do again.

    Raises:
        ConfigError: There are none.
    """
    key, value = change.split("=", 1)
    top = key.split(".")[0]
    if top in known_names():
        _check_path(config, key)
        _check_overlaid(config, key)
        if key == "find_unused_parameters" and config.get("model_wrapper_cfg"):
            fault = f"nothing reads it beside model_wrapper_cfg; set model_wrapper_cfg.{key}"
            raise ConfigError(f"--cfg-options {key}: {fault}")
        loader, _, last = key.rpartition(".")
        keeps = last == "num_workers" and _node(config, f"{loader}.{_KEPT_WORKERS}")
        if keeps and value == "0":
            return [change, f"{loader}.{_KEPT_WORKERS}=False"]  # torch refuses to keep no workers
        return [change, *moved_ends(config, key, value)]
    if top not in config:
        raise ConfigError(
            f"--cfg-options {key}: no such key{close_names(top, [*config, *known_names()])}"
        )
    if key == "data_root" and isinstance(config["data_root"], str):
        below = [path for path, leaf in _leaves(config) if _is_below(leaf, config["data_root"])]
        root, old = value.rstrip("/"), config["data_root"].rstrip("/")
        if below:
            values = dict(_leaves(config))
            return [f"{path}={root}{values[path].rstrip('/')[len(old) :]}" for path in below]
    found = twins_of(config, top, config[top])
    remedy = f"; set {', '.join(found)}" if found else ""
    raise ConfigError(
        f"--cfg-options {key}: the config computes with {top}, and nothing reads it afterwards, so "
        f"this would change nothing{remedy}"
    )


def twins_of(config: Mapping, name: str, value: Any, by_name: bool = True) -> list[str]:
    """Entries that a variable seems to have been put into.

    Args:
        config: With the entries that the runner reads.
        name: Of the variable.
        value: Of the variable.
        by_name: Whether the same name does; else it takes the same value.

    Returns:
        Dotted paths of entries with the value, where that says enough, or of the same name; those
        of the same value first.
    """
    is_telling = isinstance(value, str) or (
        isinstance(value, (list, dict, tuple)) and len(value) > 1
    )
    same, named = [], []
    for path, leaf in _leaves(config, with_inner=True):
        is_named = path.rsplit(".", 1)[-1] == name
        if leaf == value and (is_named or is_telling):
            same.append(path)
        elif is_named and by_name:
            named.append(path)
    return same + named


def _check_path(config: Mapping, key: str) -> None:
    """Refuse a key below the config's entries that nothing will read."""
    node: Any = config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        place = ".".join(parts[:depth])
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(
                    f"--cfg-options {key}: {place} has {len(node)} entries, no {part!r}"
                )
            node = node[int(part)]
        elif not isinstance(node, Mapping):
            if node is None:
                return
            raise ConfigError(f"--cfg-options {key}: {place} is {node!r:.40} and has no {part!r}")
        elif part in node:
            node = node[part]
        else:
            if depth:
                _check_new_key(node, part, place, key)
            return


def _check_overlaid(config: Mapping, key: str) -> None:
    """Refuse a setting of all optimisers where each of several has its own."""
    modules = (config.get("optim_wrapper") or {}).get("modules")
    top, _, rest = key.partition(".")
    if top != "optim_wrapper" or not isinstance(modules, Mapping) or rest.startswith("modules"):
        return
    for change in modules.values():
        node: Any = change
        for part in rest.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        if node is None or isinstance(node, Mapping):
            return
    own = ", ".join(f"optim_wrapper.modules.{name}.{rest}" for name in modules)
    raise ConfigError(f"--cfg-options {key}: every part has its own; set {own}")


def _check_new_key(node: Mapping, part: str, place: str, key: str) -> None:
    if place in CLOSED:
        known, is_complete = list(CLOSED[place]), True
    elif "type" in node:
        known, is_complete = _arguments_of(node["type"], node.get("_scope_"))
    else:
        known, is_complete = list(node), False
    if part in known or place.split(".")[0] in _BUILT and "type" not in node:
        return
    if is_complete or get_close_matches(part, known, 1, 0.8):
        inner = [
            f"{place}.{k}.{part}" for k, v in node.items() if isinstance(v, dict) and part in v
        ]
        hint = f"; {inner[0]} is there" if inner else close_names(part, known)
        raise ConfigError(f"--cfg-options {key}: {place} has no {part!r}{hint}")
    print(f"--cfg-options {key}: {place} had no {part!r} before", file=sys.stderr)


def _arguments_of(kind: Any, scope: str | None) -> tuple[list[str], bool]:
    """Names that a registered class takes, and whether it takes no others."""
    found = _find_class(kind, scope)
    if found is None:
        return [], False
    names, is_complete = ["type", "_scope_", "init_cfg"], True
    for base in found.__mro__[:-1]:  # kwargs are handed up
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names += [p.name for p in parameters]
        is_complete = not any(p.kind is p.VAR_KEYWORD for p in parameters)
        if is_complete:
            break
    return names, is_complete


def _find_class(kind: Any, scope: str | None) -> Any:
    """What is registered under a name; None: nothing."""
    if not isinstance(kind, str):
        return kind
    name = f"{scope}.{kind}" if scope and "." not in kind else kind
    return next(filter(None, (_get(table, name) for table in _tables())), None)


def _tables() -> list[Any]:
    """mmdet3d's registries, and mmengine's of what mmdet3d has none for."""
    import mmengine.registry
    from mmdet3d import registry

    tables = {**vars(mmengine.registry), **vars(registry)}.values()
    return [value for value in tables if isinstance(value, mmengine.registry.Registry)]


def _get(table: Any, name: str) -> Any:
    try:
        return table.get(name)
    except ImportError:  # one of mmdet3d's tables names a module that it does not have
        return None


def known_names() -> list[str]:
    """Entries of a config that a runner reads."""
    from mmengine.runner import Runner

    return [*list(inspect.signature(Runner.__init__).parameters)[1:], *_READ_ELSEWHERE]


def _leaves(node: Any, path: str = "", with_inner: bool = False) -> Iterator[tuple[str, Any]]:
    """Dotted path and value of everything that the runner reads."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in items:
        if not path and key not in known_names():
            continue
        here = f"{path}.{key}" if path else str(key)
        is_inner = isinstance(value, (Mapping, list, tuple))
        if with_inner or not is_inner:
            yield here, value
        if is_inner:
            yield from _leaves(value, here, with_inner)


def _is_below(leaf: Any, root: str) -> bool:
    root = root.rstrip("/")
    return isinstance(leaf, str) and (leaf.rstrip("/") == root or leaf.startswith(root + "/"))

"""Arguments of mmdet3d's scripts, checked before they run.

Options may stand before the config. One that this machine or config cannot follow, and a change of
the config that would change nothing, end in one line instead of a traceback or a wasted training.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError, find_config, read_config
from gemini_det3d.apis.config_changes import checked_changes
from gemini_det3d.apis.config_names import check_names

# Options of tools/train.py and tools/test.py, and ours, by how many values they take.
_ONE_VALUE = (
    "--work-dir", "--sync_bn", "--launcher", "--local_rank", "--local-rank", "--show-dir",
    "--score-thr", "--task", "--wait-time",
)  # fmt: skip
_NO_VALUE = ("--amp", "--auto-scale-lr", "--ceph", "--show", "--tta", "--help")
_CFG_OPTIONS, _RESUME = "--cfg-options", "--resume"
_RUNNER = "ExactRunner"
# Training loops that it takes.
_LOOPS = ("", "EpochBasedTrainLoop", "IterBasedTrainLoop")


def checked_arguments(name: str, argv: Sequence[str]) -> list[str]:
    """Arguments of a script, the config first, that will all have an effect.

    Args:
        name: 'train' or 'test'.
        argv: As the user gave them, options before or after the config.

    Returns:
        The same with the config's path in front. ``data_root=DIR`` becomes a change of every entry
        below the config's ``data_root``; a config that imports this plug-in and names no runner
        gets ours.

    Raises:
        ConfigError: The config is not there, or an option cannot have the effect that it names.
    """
    places, options, changes = split_arguments(argv)
    if not places:
        return list(argv)  # --help, or the script's own complaint
    places[0] = str(find_config(places[0]))
    config = read_config(places[0])
    check_imports(config)
    check_names(config)
    changes = checked_changes(config.to_dict(), changes) + runner_of(config, changes)
    _check_options(name, options, config, changes)
    _check_files(name, places, options)
    changed = dict(change.split("=", 1) for change in changes)
    start = str(changed.get("load_from", config.get("load_from"))).strip("'\"")
    if name == "train" and start != "None":
        options = _without_idle_resume(options, _work_dir(places[0], options, config, changed))
        if not any(_full_name(word.split("=")[0]) == _RESUME for word in options):
            check_start(start, str(changed.get("runner_type", config.get("runner_type"))))
    return [*places, *options, *([_CFG_OPTIONS, *changes] if changes else [])]


def split_arguments(argv: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Positional words, options with their values, and ``KEY=VALUE`` changes of the config.

    Raises:
        ConfigError: What ``--cfg-options=`` is given in one word is no ``KEY=VALUE``.
    """
    places, options, changes = [], [], []
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            places.append(word)
            continue
        given, is_one_word, value = word.partition("=")
        name = _full_name(given)
        if name == _CFG_OPTIONS and is_one_word:
            if "=" not in value:
                raise ConfigError(f"{word}: expected {_CFG_OPTIONS} KEY=VALUE")
            changes.append(value)
            continue
        if name == _CFG_OPTIONS:
            while words and "=" in words[0] and not words[0].startswith("-"):
                changes.append(words.pop(0))
            continue
        options.append(word)
        takes_one = name in _ONE_VALUE or (name == _RESUME and words and _is_checkpoint(words[0]))
        if takes_one and not is_one_word and words:
            options.append(words.pop(0))
    return places, options, changes


def check_imports(config: Any) -> None:
    """Refuse a config that needs this plug-in and does not import it.

    Raises:
        ConfigError: A child's ``custom_imports`` has replaced ours.
    """
    imports = _imports_of(config)
    if any(str(name).startswith("gemini_det3d") for name in imports):
        return
    if config.get("runner_type") == "ExactRunner" or "gemini_det3d.plugin" in config.text:
        raise ConfigError(
            f"{config.filename}: custom_imports is {imports}: mmengine replaces the list of the "
            "base config by that of the child; add 'gemini_det3d.plugin' to it"
        )


def runner_of(config: Any, changes: Sequence[str] = ()) -> list[str]:
    """The change that makes mmdet3d's scripts build `ExactRunner`, whose checks go before a run.

    A config that names another runner, or a training loop of its own, keeps it; a line says what
    is off then. So is everything for a config that does not import this plug-in.

    Args:
        config: mmengine's.
        changes: ``KEY=VALUE`` that it will get.

    Returns:
        One change or none.

    Raises:
        ConfigError: Bad samples are to be skipped, which no other runner does.
    """
    from gemini_det3d.engine.config_types import type_name

    given = dict(change.split("=", 1) for change in changes)
    runner, is_ours = given.get("runner_type", config.get("runner_type")), imports_plugin(config)
    runner = None if runner == "None" else runner
    loop = given.get("train_cfg.type", type_name(config.get("train_cfg")))
    if type_name({"type": runner}) == _RUNNER:
        return []
    if is_ours and runner is None and loop in _LOOPS:
        return [f"runner_type={_RUNNER}"]
    if given.get("on_bad_sample", config.get("on_bad_sample")) == "skip":
        needs = f'runner_type = "{_RUNNER}" and custom_imports of gemini_det3d.plugin'
        raise ConfigError(f"on_bad_sample=skip (--skip-bad): {config.filename}: needs {needs}")
    if is_ours:
        cause = f"runner_type is {runner}" if runner else f"train_cfg.type is {loop}"
        off = "checks before the first step and exact resuming are off; they come with"
        print(f'{config.filename}: {cause}: {off} runner_type = "{_RUNNER}"', file=sys.stderr)
    return []


def imports_plugin(config: Any) -> bool:
    """Whether a config registers all that this plug-in has, `ExactRunner` among it."""
    return "gemini_det3d.plugin" in _imports_of(config)


def _imports_of(config: Any) -> list:
    imports = (config.get("custom_imports") or {}).get("imports") or []
    return [imports] if isinstance(imports, str) else list(imports)


def _check_options(name: str, options: list[str], config: Any, changes: list[str]) -> None:
    given = {_full_name(word.split("=")[0]) for word in options if word.startswith("--")}
    wrapper = next((c.split("=", 1)[1] for c in changes if c.startswith("optim_wrapper.type=")), "")
    wrapper = wrapper or (config.get("optim_wrapper") or {}).get("type", "")
    if name == "train" and ("--amp" in given or wrapper == "AmpOptimWrapper"):
        import torch

        if not torch.cuda.is_available():
            raise ConfigError(
                "--amp (AmpOptimWrapper) needs a GPU, and torch sees none; segmentors take "
                "--cfg-options model.autocast_dtype=bfloat16 on any device"
            )
    if "--auto-scale-lr" in given:
        scale = config.get("auto_scale_lr") or {}
        missing = [key for key in ("enable", "base_batch_size") if key not in scale]
        if missing:
            raise ConfigError(
                f"--auto-scale-lr: {config.filename} has no auto_scale_lr.{missing[0]}"
            )
    if "--tta" in given:
        missing = [key for key in ("tta_model", "tta_pipeline") if key not in config]
        if missing:
            hint = "; segmentors average over model.test_cfg.scales and flip instead"
            raise ConfigError(f"--tta: {config.filename} has no {' and no '.join(missing)}{hint}")
    if given & {"--show", "--show-dir"}:
        if "visualization" not in (config.get("default_hooks") or {}):
            raise ConfigError(f"--show: {config.filename} has no default_hooks.visualization "
                              "(gemini-det3d draw makes pictures)")  # fmt: skip
        if "--task" not in given:
            raise ConfigError("--show and --show-dir need --task (multi-modality_det, say)")


def _check_files(name: str, places: list[str], options: list[str]) -> None:
    resume = [b for a, b in _pairs(options) if a == _RESUME and b not in ("", "auto")]
    for path in places[1:2] if name == "test" else resume:
        if "://" not in path and not os.path.isfile(path):
            raise ConfigError(f"{path}: no such file")


def check_start(path: str, runner: str) -> None:
    """Refuse a ``load_from`` that is not there, or that `ExactRunner` does not fetch.

    Raises:
        ConfigError: It is such a one.
    """
    if "://" in path:
        if runner == _RUNNER:
            fault = f"{_RUNNER} reads local files; fetch it and name the copy, or None"
            raise ConfigError(f"load_from: {path}: {fault}")
    elif not os.path.isfile(os.path.expanduser(path)):
        raise ConfigError(f"load_from: {path}: no such file")


def _work_dir(path: str, options: list[str], config: Any, changed: dict[str, str]) -> Path:
    """Where mmdet3d's script will write, found as it does."""
    given = [value for name, value in _pairs(options) if name == "--work-dir"]
    named = given[-1] if given else changed.get("work_dir") or config.get("work_dir")
    return Path(named or Path("work_dirs", Path(path).stem))


def _without_idle_resume(options: list[str], work_dir: Path) -> list[str]:
    """Options without ``--resume`` where there is nothing to go on from.

    mmdet3d's script forgets ``load_from`` when told to look for something to resume.
    """
    if (work_dir / "last_checkpoint").is_file() or next(work_dir.glob("*.pth"), None):
        return options
    for place, word in enumerate(options):
        option, _, value = word.partition("=")
        taken = [word for word in options[place + 1 : place + 2] if _is_checkpoint(word)]
        if _full_name(option) == _RESUME and {value, *taken} <= {"", "auto"}:
            return [*options[:place], *options[place + 1 + len(taken) :]]
    return options


def _pairs(options: list[str]) -> list[tuple[str, str]]:
    """Options that have a value, by their full names, with it."""
    pairs = [word.partition("=")[::2] for word in options if "=" in word]
    pairs += [(a, b) for a, b in zip(options, options[1:]) if not b.startswith("-")]
    return [(_full_name(option), value) for option, value in pairs]


def _full_name(option: str) -> str:
    known = (*_ONE_VALUE, *_NO_VALUE, _CFG_OPTIONS, _RESUME)
    matches = [name for name in known if name.startswith(option)] if len(option) > 2 else []
    return option if option in known or len(matches) != 1 else matches[0]


def _is_checkpoint(word: str) -> bool:
    return word == "auto" or word.endswith((".pth", ".pt", ".safetensors", ".ckpt"))

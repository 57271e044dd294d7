"""Which variants a comparison has: configs, and keys of them swapped for other values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError

# What a comparison sets itself, in all runs alike.
_ITS_OWN = {
    "randomness.seed": "runs have the seeds 0, 1, ... (--seeds)",
    "work_dir": "every run has a folder of its own below --out",
}
_UNREAD = dict.fromkeys(
    ("train_cfg.val_interval", "train_cfg.val_begin", "val_cfg", "val_dataloader", "val_evaluator"),
    "runs are tested at the end and not validated before",
)
_CLOSED_BY = {"(": ")", "[": "]", "{": "}", "'": "'", '"': '"'}


@dataclass(frozen=True)
class Swap:
    """A key of a config and the values it takes in turn.

    Attributes:
        key: Dotted path, as mmengine's ``--cfg-options`` takes it.
        values: As written on the command line; a value may bring others of the same part along,
            as in ``GeminiFusion;init=balanced``.
    """

    key: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Swap:
        """Read ``key=A,B;other=C,...``; a sign in brackets or quotes is its value's own.

        Raises:
            ConfigError: Not of this form, or a value twice.
        """
        key, _, values = text.partition("=")
        try:
            parts = tuple(value.strip() for value in split_outside(values, ","))
        except ValueError as error:
            raise ConfigError(f"--swap {text!r}: {error}") from None
        if not key.strip() or not all(parts):
            raise ConfigError(f"--swap {text!r}: expected key=A,B,...")
        if len(set(parts)) < len(parts):
            raise ConfigError(f"--swap {text!r}: a value is given twice")
        swap = cls(key.strip(), parts)
        for value in parts:
            swap.options(value)
        return swap

    def options(self, value: str) -> dict[str, str]:
        """What a value sets, dotted key -> value.

        Raises:
            ConfigError: What it brings along is not of the form ``other=value``.
        """
        first, *others = (part.strip() for part in split_outside(value, ";"))
        found = {self.key: first}
        for other in others:
            name, sign, given = (part.strip() for part in other.partition("="))
            if not (name and sign and given):
                raise ConfigError(f"--swap {self.key}: {value!r}: expected VALUE;OTHER=VALUE")
            found[f"{self.key.rpartition('.')[0]}.{name}".lstrip(".")] = given
        return found


@dataclass(frozen=True)
class Variant:
    """One row of the comparison.

    Attributes:
        name: Unique; also the name of its folder.
        config: Path of the config.
        options: What differs from the config, dotted key -> value as text.
    """

    name: str
    config: Path
    options: Mapping[str, str]

    def arguments(self) -> list[str]:
        """``--cfg-options`` and what follows it; empty where nothing differs."""
        changes = [f"{key}={value}" for key, value in self.options.items()]
        return ["--cfg-options", *changes] if changes else []


def make_variants(
    configs: Mapping[Path, Mapping],
    swaps: Sequence[Swap],
    options: Mapping[str, str] | None = None,
) -> list[Variant]:
    """All variants of all configs.

    A config takes the swaps whose key it has, all combinations of them; one that has none (a
    detector without a camera has no operator) is a row as it is.

    Raises:
        ConfigError: A key that no config has or that the comparison sets, or two configs of one
            name.
    """
    _check_own([swap.key for swap in swaps], options or {})
    for swap in swaps:
        if not any(has_key(config, swap.key) for config in configs.values()):
            names = ", ".join(path.stem for path in configs)
            raise ConfigError(f"--swap {swap.key}: no such key in {names}")
    variants = []
    for path, config in configs.items():
        own = [swap for swap in swaps if has_key(config, swap.key)]
        for values in product(*(swap.values for swap in own)):
            chosen: dict[str, str] = {}
            for swap, value in zip(own, values):
                for key, given in swap.options(value).items():
                    if chosen.setdefault(key, given) != given:
                        fault = f"{key} is set to {chosen[key]} by another swap"
                        raise ConfigError(f"--swap {swap.key}: {value}: {fault}")
            name = "-".join([path.stem, *(_slug(value) for value in values)])
            variants.append(Variant(name, path, {**(options or {}), **chosen}))
    names = [variant.name for variant in variants]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"two variants are called {', '.join(sorted(twice))}; rename a config")
    return variants


def _check_own(swapped: Sequence[str], options: Mapping[str, str]) -> None:
    """Refuse to set what a comparison sets, and tell of what it does not read.

    Raises:
        ConfigError: There is such a key; or one is swapped that nothing reads.
    """
    for option, keys, refused in (
        ("--swap", swapped, {**_ITS_OWN, **_UNREAD}),
        ("--cfg-options", options, _ITS_OWN),
    ):
        for key in keys:
            if why := _why(key, refused):
                raise ConfigError(f"{option} {key}: not in a comparison, whose {why}")
    for key in options:
        if why := _why(key, _UNREAD):
            tqdm.write(f"--cfg-options {key}: has no effect in a comparison, whose {why}")


def _why(key: str, table: Mapping[str, str]) -> str | None:
    """What a table says of a key, or of a part of the config that it lies in."""
    parts = (words for name, words in table.items() if f"{key}.".startswith(f"{name}."))
    return next(parts, None)


def has_key(config: Any, key: str) -> bool:
    """Whether a config has a dotted key; numbers are places in lists."""
    for part in key.split("."):
        if isinstance(config, Mapping) and part in config:
            config = config[part]
        elif isinstance(config, (list, tuple)) and part.isdigit() and int(part) < len(config):
            config = config[int(part)]
        else:
            return False
    return True


def split_outside(text: str, sign: str) -> list[str]:
    """Split a text at a sign where that stands outside of brackets and quotes.

    Raises:
        ValueError: One of them is not closed, or not opened.
    """
    parts, start, ends = [], 0, []
    for place, letter in enumerate(text):
        if ends and letter == ends[-1]:
            ends.pop()
        elif ends and ends[-1] in "'\"":
            continue
        elif letter in _CLOSED_BY:
            ends.append(_CLOSED_BY[letter])
        elif letter in ")]}":
            raise ValueError(f"{letter} closes nothing")
        elif letter == sign and not ends:
            parts.append(text[start:place])
            start = place + 1
    if ends:
        raise ValueError(f"{ends[-1]} is missing")
    return [*parts, text[start:]]


def _slug(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", value)

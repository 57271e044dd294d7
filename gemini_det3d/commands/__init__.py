"""The commands of ``gemini-det3d``: each has its arguments, calls the library, and prints.

Importing this package imports none of them, so that ``gemini-det3d --help`` needs only Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol, runtime_checkable

__all__ = [
    "Command",
    "add_changes",
    "add_model_options",
    "add_seed",
    "add_set_sizes",
    "add_subcommands",
    "add_workers",
    "check_set_sizes",
    "load_command",
]


@runtime_checkable
class Command(Protocol):
    """What the module of a command has.

    Attributes:
        EPILOG: Shown below its help; may be empty.
    """

    EPILOG: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work; the exit code."""


def load_command(name: str) -> Command:
    """The module of a command, by its name in this package."""
    return import_module(f"gemini_det3d.commands.{name}")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers``, also ``--jobs``: one process a core, unless told otherwise."""
    from gemini_det3d.apis.machine import num_cores

    parser.add_argument(
        "--workers",
        "--jobs",
        type=int,
        default=num_cores(),
        help="processes (default: %(default)s)",
    )


def add_model_options(parser: argparse.ArgumentParser, with_changes: bool = True) -> None:
    """Add what every command with a trained model takes.

    ``--device``; ``--allow-missing``, without which a checkpoint is loaded whole or not at all; and
    ``--cfg-options``, with changes.
    """
    add = parser.add_argument
    add("--device", help="cpu or cuda:0 (default: CUDA where there is one)")
    add(
        "--allow-missing",
        action="append",
        default=[],
        metavar="NAME",
        help="a parameter, or the start of names, that only the checkpoint or only the model may "
        "have, or that may differ in shape; may be given again",
    )
    if with_changes:
        add_changes(parser)


def add_changes(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    text = "changes to the config"
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help=text)


def add_seed(parser: argparse.ArgumentParser, of: str) -> None:
    """Add ``--seed``: a whole number from 0, as NumPy's generators want it."""

    def seed(word: str) -> int:
        if not word.isdecimal():
            raise argparse.ArgumentTypeError(f"{word!r} must be a whole number from 0")
        return int(word)

    parser.add_argument("--seed", type=seed, default=0, help=f"of {of} (%(default)s)")


def from_one(word: str) -> int:
    """A whole number from 1, as argparse's ``type``."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} must be a whole number from 1")
    return int(word)


def add_set_sizes(parser: argparse.ArgumentParser, things: str, train: int, val: int) -> None:
    """Add what every command that writes a synthetic set takes."""
    add = parser.add_argument
    add("--train", type=int, default=train, help=f"training {things} (%(default)s)")
    add("--val", type=int, default=val, help=f"validation {things} (%(default)s)")
    add_seed(parser, f"all {things}")
    add_workers(parser)


def check_set_sizes(args: argparse.Namespace) -> None:
    """Refuse numbers of :func:`add_set_sizes` that are too small.

    Raises:
        ConfigError: One is; the message names the option.
    """
    from gemini_det3d.apis.config import ConfigError

    for name, least in (("train", 0), ("val", 0), ("seed", 0), ("workers", 1)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} {getattr(args, name)}: must be {least} or more")


def add_subcommands(
    parser: argparse.ArgumentParser,
    name: str,
    commands: Mapping[str, tuple[str, str]],
    load: Callable[[str], Command] = load_command,
) -> argparse._SubParsersAction:
    """Give a command commands of its own, as ``prepare kitti`` and ``benchmark fusion``.

    Args:
        parser: Of the command.
        name: What is chosen, in the help and in the parsed arguments.
        commands: Subcommand -> (module, help).
        load: The module by its name.

    Returns:
        The action, for subcommands without a module.
    """
    choices = parser.add_subparsers(dest=name, required=True, metavar=name.upper())
    for word, (module_name, text) in commands.items():
        command = load(module_name)
        sub = choices.add_parser(
            word,
            help=text,
            description=command.__doc__,
            epilog=getattr(command, "EPILOG", ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
    return choices

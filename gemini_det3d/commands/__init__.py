"""The commands of ``gemini-det3d``: each has its arguments, calls the library, and prints.

Importing this package imports none of them, so that ``gemini-det3d --help`` needs only Python.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Protocol, runtime_checkable

__all__ = ["Command", "load_command"]


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

"""Modules that moved, still found under their former names for a release, with a warning."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "gemini_det3d.datasets.synthetic": "gemini_det3d.worlds",
}


class MovedFinder(MetaPathFinder, Loader):
    """Gives the module of the new name for the former one."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """A spec for a former name; None for all others."""
        return ModuleSpec(name, self) if new_name(name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, so that its classes are the same under both names."""
        name = new_name(spec.name)
        warnings.warn(f"{spec.name} is now {name}", DeprecationWarning, stacklevel=2)
        module = import_module(name)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is run again; the module keeps saying where it lies."""
        module.__spec__ = getattr(module.__spec__, "loader_state", None) or module.__spec__


def new_name(name: str) -> str | None:
    """Where a module is now, or None where it did not move."""
    for former, new in MOVED.items():
        if name == former or name.startswith(f"{former}."):
            return new + name[len(former) :]
    return None


def install() -> None:
    """Make former names importable; the packages that they were in call it.

    First in line, for a submodule of a former name would else be loaded a second time.
    """
    if not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MovedFinder())

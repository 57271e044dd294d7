"""Modules that moved, still found under their former names for a release, with a warning."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_COMMANDS = (
    "benchmark",
    "convert_checkpoint",
    "demo",
    "demo_indoor",
    "demo_segmentation",
    "demo_translation",
    "eval_sensors",
    "make_rooms",
    "make_scenes",
    "make_views",
    "prepare",
)
MOVED = {
    "gemini_det3d.datasets.synthetic": "gemini_det3d.worlds",
    "gemini_det3d.datasets.segmentation_classes": "gemini_det3d.datasets.segmentation_sets",
    "gemini_det3d.formats.boxes": "gemini_det3d.geometry.boxes",
    "gemini_det3d.apis.ablate": "gemini_det3d.apis.ablation.ablate",
    "gemini_det3d.apis.check_alignment": "gemini_det3d.apis.alignment.check",
    "gemini_det3d.apis.compare": "gemini_det3d.apis.comparison.compare",
    "gemini_det3d.apis.eval_kitti": "gemini_det3d.apis.kitti.evaluate",
    "gemini_det3d.apis.eval_sunrgbd": "gemini_det3d.apis.sunrgbd.evaluate",
    "gemini_det3d.apis.kitti.findings": "gemini_det3d.apis.findings",
    "gemini_det3d.apis.prepare_kitti": "gemini_det3d.apis.kitti.prepare",
    "gemini_det3d.apis.prepare_sunrgbd": "gemini_det3d.apis.sunrgbd.prepare",
    **{f"gemini_det3d.apis.{name}": f"gemini_det3d.commands.{name}" for name in _COMMANDS},
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

"""The machine that a figure was measured on, and how many of its cores are ours."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib import metadata

PACKAGES = ("torch", "numpy", "mmengine", "mmcv", "mmdet", "mmdet3d", "spconv", "gemini_det3d")


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def facts() -> dict:
    """What a reader needs to repeat a run: command, machine and versions, for JSON."""
    return {
        "command": shlex.join(["gemini-det3d", *sys.argv[1:]]),
        "machine": {"cores": num_cores(), "architecture": platform.machine()},
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

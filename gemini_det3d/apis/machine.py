"""The machine that a figure was measured on, and how many of its cores are ours."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "numpy", "mmengine", "mmcv", "mmdet", "mmdet3d", "spconv", "gemini_det3d")


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def num_threads(jobs: int = 1) -> int:
    """Threads of each of ``jobs`` processes: its share of the cores, or OMP_NUM_THREADS if less."""
    share = max(1, num_cores() // jobs)
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(wanted)) if wanted.isdecimal() and int(wanted) else share


def facts() -> dict:
    """What a reader needs to repeat a run: command, machine and versions, for JSON."""
    return {
        "command": shlex.join(["gemini-det3d", *sys.argv[1:]]),
        "machine": {
            "cores": num_cores(),
            "architecture": platform.machine(),
            "processor": _processor(),
        },
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str | None:
    """The processor's name; None where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None) or platform.processor() or None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        lite = None if name != "mmcv" else _version("mmcv-lite")
        return lite and f"{lite} (mmcv-lite)"

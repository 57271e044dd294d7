"""``train --tf32``, ``--fused`` and ``--compile``: options that stand for changes of the config.

``--amp`` is mmdet3d's own and goes through as it is.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from gemini_det3d.apis.config import ConfigError

__all__ = ["speed_changes"]

_COMPILERS = ("c++", "g++", "clang++", "cl")
_TF32_SINCE = (8, 0)


def speed_changes(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the options out of a command line.

    Returns:
        The other arguments, and changes of the config; one line on stderr says which.

    Raises:
        ConfigError: This machine cannot do what an option asks for.
    """
    given = [name for name in _OPTIONS if name in argv]
    changes = []
    for name in given:
        change, find_fault = _OPTIONS[name]
        fault = find_fault()
        if fault:
            raise ConfigError(f"{name} {fault}")
        changes.append(change)
    if given:
        print(f"{' '.join(given)} stands for --cfg-options {' '.join(changes)}", file=sys.stderr)
    return [word for word in argv if word not in given], changes


def _gpu_fault() -> str:
    import torch

    return "" if torch.cuda.is_available() else "needs a GPU, and torch sees none"


def _tf32_fault() -> str:
    import torch

    if fault := _gpu_fault():
        return fault
    found = torch.cuda.get_device_capability()
    if found < _TF32_SINCE:
        return f"needs a GPU of compute capability 8.0 or later, this one has {found[0]}.{found[1]}"
    return ""


def _compile_fault() -> str:
    import torch

    if torch.cuda.is_available():
        return "" if find_spec("triton") else "needs Triton on a GPU: pip install triton"
    found = os.environ.get("CXX") or any(map(shutil.which, _COMPILERS))
    return "" if found else "needs a C++ compiler on a CPU, and none is on PATH"


_OPTIONS: dict[str, tuple[str, Callable[[], str]]] = {
    "--tf32": ("default_hooks.tf32.type=TF32Hook", _tf32_fault),
    "--fused": ("optim_wrapper.optimizer.fused=True", _gpu_fault),
    "--compile": ("compile=True", _compile_fault),
}

"""Running Python programs as a user would, for the tests that need whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pytest

_QUIET = {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
_SHARED = "GEMINI_WARM_PYTHON"  # where the processes of one run find the same


def run_python(
    *command: object, cwd: Path, expect: int = 0, python: str = sys.executable, **environment: str
) -> str:
    """Run a Python program; its output, or a failure that shows the end of it.

    Args:
        *command: A script with arguments, ``-m`` and a module, or ``-c`` and code.
        cwd: Where it runs.
        expect: Its exit code.
        python: What runs it.
        **environment: More variables.
    """
    done = subprocess.run(
        [python, *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=3600,
        env={**os.environ, **_QUIET, **environment},
    )
    output = done.stdout + done.stderr
    assert done.returncode == expect, f"exit code {done.returncode}: {output[-4000:]}"
    return output


def run_warm(*command: object, cwd: Path, expect: int = 0, **environment: str) -> str:
    """As `run_python`, without waiting for PyTorch and OpenMMLab to be loaded once more.

    For tests that have shown the same program in a process of its own elsewhere.
    """
    return run_python(*command, cwd=cwd, expect=expect, python=warm_python(), **environment)


@contextmanager
def all_warm() -> Iterator[None]:
    """Programs that are started by ``sys.executable`` are warm; so are those of torchrun."""
    import multiprocessing.spawn  # noqa: F401  has taken Python itself when it is loaded

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", warm_python())
        patch.setenv("PYTHON_EXEC", warm_python())
        yield


def warm_python() -> str:
    """What is called like Python, and has PyTorch and OpenMMLab loaded already."""
    return os.environ.get(_SHARED) or _start()[0]


def share_warm_python() -> None:
    """Let all processes that are started from here have the same one."""
    os.environ[_SHARED] = warm_python()


@lru_cache(maxsize=1)
def _start() -> tuple[str, subprocess.Popen]:
    """Its path, and the process, which ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="warm_"))
    command = [sys.executable, str(Path(__file__).with_name("warm.py")), str(folder)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, env={**os.environ, **_QUIET})  # fmt: skip
    while not (folder / "python").exists():
        assert server.poll() is None, "the warm process has ended"
        time.sleep(0.02)
    return str(folder / "python"), server

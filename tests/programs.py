"""Running Python programs as a user would, for the tests that need whole processes."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

_QUIET = {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}


def run_python(*command: object, cwd: Path, **environment: str) -> str:
    """Run a Python program; its output, or a failure that shows the end of it."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=3600,
        env={**os.environ, **_QUIET, **environment},
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    return output


def run_warm(*command: object, cwd: Path, expect: int = 0, **environment: str) -> str:
    """As `run_python`, without waiting for PyTorch and OpenMMLab to be loaded once more.

    For tests that have shown the same program in a process of its own elsewhere.

    Args:
        *command: A script with arguments, ``-m`` and a module, or ``-c`` and code.
        cwd: Where it runs.
        expect: Its exit code.
        **environment: More variables.
    """
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        asked = dict(argv=[str(word) for word in command], cwd=str(cwd), output=str(output),
                     environment={**os.environ, **_QUIET, **environment})  # fmt: skip
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = server.stdout.readline().strip()
        text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
    assert code == str(expect), f"exit code {code}: {text[-4000:]}"
    return text


@lru_cache(maxsize=1)
def _server() -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__).with_name("warm.py"))]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, env={**os.environ, **_QUIET})  # fmt: skip
    atexit.register(server.kill)
    return server

"""Running Python programs as a user would, for the tests that need whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_python(*command: object, cwd: Path, **environment: str) -> str:
    """Run a Python program; its output, or a failure that shows the end of it."""
    quiet = {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=3600,
        env={**os.environ, **quiet, **environment},
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    return output

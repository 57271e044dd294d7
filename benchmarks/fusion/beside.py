"""The headline cases once more while another program takes part of one core.

Users' machines are shared, and a form with many parallel regions waits at each of them for the
thread that was held up.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gemini_det3d.formats.tables import markdown_table

__all__ = ["LEAST_BESIDE", "beside_lines", "busy_core"]

LEAST_BESIDE = 1.2  # released / ours in the headline cases
_SPIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
_NAMES = ("case", "dtype", "mode", "opponent")


@contextmanager
def busy_core() -> Iterator[int]:
    """A program that computes without end on the first core that is ours; its process number.

    Raises:
        OSError: The system cannot bind a program to a core (macOS, Windows).
    """
    if not hasattr(os, "sched_getaffinity"):
        raise OSError("this system cannot bind a program to a core")
    core = min(os.sched_getaffinity(0))
    process = subprocess.Popen([sys.executable, "-c", _SPIN, str(core)])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def beside_lines(quiet: list[dict], beside: list[dict]) -> list[str]:
    """A table of both ratios, and whether the least one beside a busy program is large enough.

    Args:
        quiet: Rows as `compare` gives them.
        beside: The same rows, measured beside a busy program.
    """
    cells = [
        [*(q[name] for name in _NAMES), q["ours_ms"], b["ours_ms"], q["ratio"], b["ratio"]]
        for q, b in zip(quiet, beside)
    ]
    head = [*_NAMES, "ours ms", "beside, ms", "other / ours", "beside"]
    released = [row for row in beside if row["opponent"] == "released"]
    lines = markdown_table(head, cells, left=4).splitlines()
    if released:
        least = min(released, key=lambda row: row["ratio"])
        is_held = "held" if least["ratio"] >= LEAST_BESIDE else "missed"
        where = ", ".join(str(least[name]) for name in _NAMES[:3])
        lines += ["", f"least released / ours beside a busy program: {least['ratio']:.2f} "
                      f"({where}), goal {LEAST_BESIDE}: {is_held}"]  # fmt: skip
    return lines

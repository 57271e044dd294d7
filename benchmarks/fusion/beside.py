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

from .cases import Case

__all__ = ["LEAST_BESIDE", "beside_lines", "busy_core", "of_released"]

LEAST_BESIDE = 1.2  # released / ours in the headline cases
_SPIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
_NAMES = ("case", "dtype", "mode")


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


def of_released(cases: list[Case]) -> list[Case]:
    """Those that have the released form, against it alone and in float32: what the goal is of."""
    return [
        case._replace(opponents=("released",), bfloat16_modes=(), tf32_modes=())
        for case in cases
        if "released" in case.opponents
    ]


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
    head = [*_NAMES, "ours, ms", "beside, ms", "released / ours", "beside"]
    least = min(beside, key=lambda row: row["ratio"])
    is_held = "held" if least["ratio"] >= LEAST_BESIDE else "missed"
    where = ", ".join(str(least[name]) for name in _NAMES)
    verdict = (
        f"least released / ours beside a busy program: {least['ratio']:.2f} ({where}), "
        f"goal {LEAST_BESIDE}: {is_held}"
    )
    return [*markdown_table(head, cells, left=3).splitlines(), "", verdict]

"""A program in a process of its own: its words in a log, its progress told, its end in one line."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from gemini_det3d.apis.config import ConfigError

# What torchrun tells the processes that it starts, and a PyTorchJob its pods: not our programs.
_OF_TORCHRUN = re.compile(
    r"((LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_\w+)"
)
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


class Programs:
    """The Python programs under way; `stop` ends them all, from any thread.

    Each is a process of its own, whatever torchrun says of this one, and on Linux it ends when this
    process is killed.

    Args:
        threads: Of each; None: what the environment says.
    """

    def __init__(self, threads: int | None = None) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        counts = dict.fromkeys(names, str(threads)) if threads else {}
        self._environment = {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore", **counts}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self._is_stopped = False

    def follow(
        self,
        command: Sequence[object],
        log: Path,
        pattern: str | re.Pattern = r"(?!)",
        show: Callable[..., None] | None = None,
        name: str | None = None,
        cwd: Path | str | None = None,
        goes_on: bool = False,
        **environment: str,
    ) -> float | None:
        """Run a program to its end.

        Args:
            command: The script and its arguments, or options of Python.
            log: Where all that it says goes.
            pattern: What a line of progress holds.
            show: Called with the pattern's groups.
            name: For the error; None: the script's.
            cwd: Where it runs; None: here.
            goes_on: Keep what the log holds, of a program that goes on where it was cut off.
            **environment: More variables.

        Returns:
            Peak resident memory of the process, MB; None where the system does not say.

        Raises:
            ConfigError: It failed; the message holds its last words and names the log.
        """
        last = "it said nothing"
        process = self._start(command, cwd, environment)
        try:
            mode = "a" if goes_on else "w"
            with log.open(mode, encoding="utf-8", buffering=1) as file:  # by lines: for `tail -f`
                for line in process.stdout or ():
                    file.write(line)
                    match = re.search(pattern, line)
                    if match and show:
                        show(*match.groups())
                    elif line.strip():
                        last = line.strip()
            code, peak_mb = _wait(process)
        finally:
            self._end(process)
        if code:
            last = f"ended by signal {-code}" if code < 0 else last
            name = name or Path(str(command[0])).name
            raise ConfigError(f"{name} failed: {last} (all of it: {log})")
        return peak_mb

    def stop(self) -> None:
        """End those under way, and start no other."""
        with self._lock:
            self._is_stopped = True
            for process in self._running:
                process.terminate()

    def _start(self, command: Sequence[object], cwd, environment) -> subprocess.Popen:
        with self._lock:
            if self._is_stopped:
                raise ConfigError("interrupted")
            process = subprocess.Popen(
                [sys.executable, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                cwd=cwd,
                env={**_own_environment(), **self._environment, **environment},
                preexec_fn=_ending_with_us(),
            )
            self._running.add(process)
        return process

    def _end(self, process: subprocess.Popen) -> None:
        with self._lock:
            self._running.discard(process)
        if process.returncode is None:  # we were interrupted, not it
            process.terminate()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _own_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not _OF_TORCHRUN.fullmatch(k)}


def _ending_with_us() -> Callable[[], object] | None:
    """What a new process calls to be ended with us; None where the system has no such thing.

    With the thread that started it, to be exact: `Programs.follow` stays in it until the end.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the process is forked
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(process: subprocess.Popen) -> tuple[int, float | None]:
    """Exit code and peak memory, MB; the system tells the latter to who waits first."""
    if not hasattr(os, "wait4"):
        return process.wait(), None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return process.returncode, round(usage.ru_maxrss / unit, 1)

"""Folders that one process works in at a time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.locks import alone

fcntl = pytest.importorskip("fcntl")

HOLDING = """
import sys, time
from gemini_det3d.formats.locks import alone
with alone(sys.argv[1], "training"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_lock_of_a_killed_process_is_free_and_the_living_one_is_named(tmp_path):
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    environment = {**os.environ, "SLURM_JOB_ID": "77"}
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert other.stdout.readline() == "held\n"
        fault = rf"another training is at work there \(.*, process {other.pid}, job 77\)"
        with pytest.raises(FormatError, match=fault), alone(tmp_path, "training"):
            pass
    finally:
        other.kill()
        other.wait()
    with alone(tmp_path, "training"):
        assert f"process {os.getpid()}" in (tmp_path / "lock").read_text()


def test_a_disk_without_locks_holds_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with alone(tmp_path, "training"), alone(tmp_path, "training"):
        assert f"process {os.getpid()}" in (tmp_path / "lock").read_text()

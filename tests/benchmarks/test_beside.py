"""Beside a busy program: it spins on one core and ends, and both ratios count."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.fusion import command
from benchmarks.fusion.beside import beside_lines, busy_core
from gemini_det3d.cli import main

on_linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="binds to a core")


def active_children(parent: int) -> list[str]:
    return Path(f"/proc/{parent}/task/{parent}/children").read_text().split()


def row(ratio: float) -> dict:
    names = dict(case="a case", dtype="float32", mode="inference", opponent="released")
    return dict(names, ours_ms=2.0, other_ms=2.0 * ratio, ratio=ratio)


@on_linux
def test_busy_program_spins_on_one_core_and_ends():
    with busy_core() as number:
        until = time.monotonic() + 20
        while len(os.sched_getaffinity(number)) > 1 and time.monotonic() < until:
            time.sleep(0.01)
        assert os.sched_getaffinity(number) == {min(os.sched_getaffinity(0))}
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


@pytest.mark.parametrize(("ratio", "verdict"), [(1.19, "missed"), (1.2, "held")])
def test_least_ratio_beside_it_is_held_to_the_goal(ratio, verdict):
    lines = beside_lines([row(3.0), row(2.0)], [row(ratio), row(1.5)])
    assert lines[2].endswith(f"| 2.00 | 2.00 | 3.00 | {ratio:.2f} |")
    assert lines[-1].endswith(f"{ratio:.2f} (a case, float32, inference), goal 1.2: {verdict}")


@on_linux
def test_headline_cases_are_measured_quiet_and_beside_it_against_the_released_form(
    monkeypatch, capsys
):
    seen = []

    def compare(case, mode, dtype, *rest, times_alone):
        children = active_children(os.getpid())
        seen.append((case.name, mode, case.opponents, dtype, len(children)))
        return [row(2.0)]

    monkeypatch.setattr("benchmarks.fusion.measure.compare", compare)
    monkeypatch.setattr("benchmarks.fusion.memory.keep_memory", lambda: True)
    assert main(["benchmark", "fusion", "--beside", "--quick"]) == 0
    names = {c.name for c in command.headline_cases(True) if "released" in c.opponents}
    assert {name for name, *_ in seen} == names
    assert [first[:4] for first in seen[::2]] == [second[:4] for second in seen[1::2]]
    assert all(opponents == ("released",) and kind == "float32" for *_, opponents, kind, _ in seen)
    assert [beside - quiet for (*_, quiet), (*_, beside) in zip(seen[::2], seen[1::2])] == [1] * (
        len(seen) // 2
    )
    assert "goal 1.2: held" in capsys.readouterr().out


def test_beside_is_of_the_cpu(capsys):
    assert main(["benchmark", "fusion", "--beside", "--device", "cuda"]) == 2
    assert "--beside: is measured on the cpu" in capsys.readouterr().err

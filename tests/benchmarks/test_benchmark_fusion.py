"""The fusion benchmark: what a row holds, what counts, what is planned."""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import pytest
from programs import run_warm

from benchmarks.fusion import Case, Site, compare, memory, shape_grid
from benchmarks.fusion import command as benchmark_fusion
from benchmarks.fusion.breakdown import KINDS, break_down, breakdown_lines
from benchmarks.fusion.report import goal_lines
from gemini_det3d.cli import main

KEYS = {
    *("shape", "dtype", "mode", "opponent", "ours_ms", "other_ms", "ratio"),
    *("err_ours", "err_other", "peak_bytes_ours", "peak_bytes_other"),
}
TINY = Case("tiny", (Site(2, 7, 16),), ("itself", "released", "products", "cross_attention"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    def call(*arguments: str) -> tuple[list[dict], str]:
        monkeypatch.setattr(memory, "keep_memory", lambda: True)  # or this process would keep it
        parser = argparse.ArgumentParser()
        benchmark_fusion.add_arguments(parser)
        files = {name: tmp_path / name for name in ("rows.json", "table.md", "plot.png")}
        options = [
            f"--{kind}={file}" for kind, file in zip(("json", "markdown", "plot"), files.values())
        ]
        assert benchmark_fusion.run(parser.parse_args([*arguments, *options])) == 0
        assert files["plot.png"].read_bytes().startswith(b"\x89PNG")
        return json.loads(files["rows.json"].read_text()), files["table.md"].read_text()

    return call


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_every_row_has_time_accuracy_and_memory(mode, dtype):
    rows = compare(TINY, mode, dtype, rounds=2, seconds=9.0)
    for row in rows:
        assert set(row) >= KEYS
        assert row["ratio"] == row["other_ms"] / row["ours_ms"]
        assert row["ours_ms_q20"] <= row["ours_ms"] <= row["ours_ms_q80"]
        assert 0 < row["err_ours"] < 0.1 and row["peak_bytes_ours"] > 0
    opponents = {row["opponent"]: row for row in rows}
    assert opponents["released"]["err_other"] > 0
    assert ("products" in opponents) == (mode == "inference")
    assert ("released_float32" in opponents) == (dtype == "bfloat16")


def test_files_hold_rows_table_and_plot(run):
    rows, table = run("--quick", "--rounds=1", "--only=growth 4000")
    assert {row["mode"] for row in rows} == {"inference", "training"}
    assert "| growth 4000x64 | float32 | training | released |" in table
    assert table.splitlines()[0].endswith("freed memory kept")


def test_memory_can_go_back_to_the_system(run):
    _, table = run("--quick", "--rounds=1", "--only=growth 4000", "--release-memory")
    assert "kept" not in table.splitlines()[0]


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("tokens", [7, 600])  # two forms of the operator
def test_breakdown_knows_every_step_and_adds_up_to_the_time(mode, tokens):
    spent = break_down(Case("one", (Site(2, tokens, 16),), ()), mode, "float32")
    *kinds, rest = spent.values()
    assert all(ms > 0 for kind, ms in spent.items() if kind in KINDS)
    assert sum(kinds) < sum(spent.values()) and rest > 0
    assert breakdown_lines("one", spent)[-1] == f"| all | {sum(spent.values()):.1f} | |"


def test_breakdown_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "keep_memory", lambda: True)
    parser = argparse.ArgumentParser()
    benchmark_fusion.add_arguments(parser)
    table, figures = tmp_path / "t.md", tmp_path / "t.json"
    arguments = ["--breakdown", "--only=grid 1x7x32", f"--markdown={table}", f"--json={figures}"]
    assert benchmark_fusion.run(parser.parse_args(arguments)) == 0
    assert set(json.loads(figures.read_text())) == {
        "grid 1x7x32, float32, inference", "grid 1x7x32, float32, training"
    }  # fmt: skip
    assert table.read_text() in capsys.readouterr().out
    with pytest.raises(ValueError, match="--plot"):
        benchmark_fusion.run(parser.parse_args([*arguments, "--plot=x.png"]))


def test_plot_without_its_cases_is_refused(run):
    with pytest.raises(ValueError, match="--plot"):
        run("--quick", "--only=grid 1x1x32")


def test_ratio_of_a_worse_result_does_not_count():
    row = {"case": "BEV 32400x256", "dtype": "float32", "mode": "inference"}
    row |= {"opponent": "released", "ratio": 9.0, "err_ours": 1e-7, "err_other": 1e-7}
    assert goal_lines([row])[-1].endswith("| 9.00 | | yes |")
    assert goal_lines([{**row, "err_ours": 1e-6}])[-1].endswith("| nan | | no |")


def test_gpus_have_goals_of_their_own():
    row = {"case": "points 20k x128", "dtype": "bfloat16", "mode": "training"}
    row |= {"opponent": "released", "ratio": 5.0, "err_ours": 2e-3, "err_other": 3e-3}
    assert not any("20k" in line for line in goal_lines([row]))
    assert goal_lines([row], "cuda")[-1].endswith("| >= 6.28 | 5.00 | | no |")
    plan = benchmark_fusion._plan(True, "20k", on_gpu=True)
    assert {(mode, dtype) for _, mode, dtype in plan} >= {("training", "bfloat16")}


def test_what_is_reached_only_compiled_says_so():
    row = {"case": "MiT-B3, 28 sites", "dtype": "float32", "mode": "training", "err_ours": 1e-7}
    released = {**row, "opponent": "released", "ratio": 1.5, "other_ms": 150, "err_other": 1e-7}
    compiled = {**row, "opponent": "itself_compiled", "other_ms": 75, "err_other": 1e-7}
    assert goal_lines([released, compiled])[-1].endswith("| 1.50 | 2.00 | compiled |")
    slower = {**compiled, "other_ms": 125}
    assert goal_lines([released, slower])[-1].endswith("| 1.50 | 1.20 | no |")
    wrong = {**compiled, "err_other": 1e-5}
    assert goal_lines([released, wrong])[-1].endswith("| 1.50 | nan | no |")


def test_grid_covers_the_range_of_shapes():
    sites = [case.sites[0] for case in shape_grid(is_quick=False)]
    assert len(set(sites)) >= 60
    for axis, low, high in (("channels", 32, 1024), ("tokens", 1, 1_000_000), ("batch", 1, 64)):
        values = [getattr(site, axis) for site in sites]
        assert (min(values), max(values)) == (low, high)


FAULTS = """
import resource, sys, torch
from benchmarks.fusion.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
def fill():
    torch.empty(16 << 20).fill_(1.0)  # 64 MiB
for _ in range(12):  # freed blocks lie apart at first
    fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_kept_memory_is_not_touched_for_the_first_time_again(tmp_path):
    command, checkout = ("-c", FAULTS), str(Path(__file__).parents[2])
    faults = {
        way: int(run_warm(*command, way, cwd=tmp_path, PYTHONPATH=checkout))
        for way in ("keep", "return")
    }
    assert faults["keep"] < 200 < faults["return"]


def test_memory_of_a_gpu_is_not_ours_to_release(run):
    with pytest.raises(ValueError, match="--release-memory: is of the CPU"):
        run("--quick", "--only=growth 4000", "--release-memory", "--device=cuda")


def test_a_wrong_option_is_one_line(capsys):
    options = ["--quick", "--only=growth 4000", "--release-memory", "--device=cuda"]
    assert main(["benchmark", "fusion", *options]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "gemini-det3d benchmark: --release-memory: is of the CPU's memory"
    ]


def test_without_glibc_memory_is_not_said_to_be_kept(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep_memory() is False

"""The doctor finds out by running, names the fix, and never dies of what it examines."""

from __future__ import annotations

import argparse
import json
import types

import pytest
import torch
from without_spconv import needs_spconv

from gemini_det3d import stack
from gemini_det3d.apis import doctor, doctor_speed
from gemini_det3d.commands import doctor as command
from gemini_det3d.ops.mmcv_ext import health


@needs_spconv
def test_diagnose_finds_a_tested_machine_healthy():
    failed = [row for row in doctor.diagnose() if row.ok is False]
    assert failed == []


def test_diagnose_reports_a_missing_package_with_its_fix(monkeypatch):
    monkeypatch.setattr(doctor, "_installed", lambda package: None)
    row = doctor._version_row("mmdet3d")
    assert row.ok is False and row.fix == "pip install mmdet3d==1.4.0"


@pytest.mark.parametrize("package, version", [("torch", "2.4.1+cu121"), ("numpy", "2.5.1")])
def test_diagnose_says_when_a_version_is_another_than_the_tested_one(monkeypatch, package, version):
    monkeypatch.setattr(doctor, "_installed", lambda name: version)
    row = doctor._version_row(package)
    assert row.ok and f"tested with {doctor.VERSIONS[package]}" in row.detail


def test_report_goes_on_after_a_failure_and_exits_with_one(monkeypatch, capsys):
    def broken():
        raise RuntimeError("no such op\nand more")

    monkeypatch.setattr(doctor, "CHECKS", (("an op", broken, "mend it"), doctor.CHECKS[1]))
    assert command.run() == 1
    shown = capsys.readouterr().out
    assert "RuntimeError: no such op" in shown and "fix: mend it" in shown
    assert "fusion operator on CPU" in shown


@needs_spconv
def test_report_as_json_holds_every_row(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "CHECKS", doctor.CHECKS[1:2])
    assert command.run(argparse.Namespace(json=True)) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["failed"] == 0 and {"torch", "spconv", "mmcv"} <= {
        row["name"] for row in report["rows"] if row["ok"]
    }


def test_speeds_are_timed_and_slow_hosts_are_named_only_where_they_keep_a_gpu_waiting():
    rows = {row.name: row for row in doctor._speed_rows()}
    assert all(row.ok is None for row in rows.values())
    assert "us a PyTorch call" in rows["speed of the host"].detail
    assert "ms to decode" in rows["speed of loading"].detail
    slow, fast = doctor_speed.SLOW_CALL_US + 1, doctor_speed.SLOW_CALL_US - 1
    assert "SLOW" in doctor_speed.host_line(slow, with_gpu=True)
    assert "SLOW" not in doctor_speed.host_line(fast, with_gpu=True)
    assert "SLOW" not in doctor_speed.host_line(slow, with_gpu=False)


def test_threads_that_wait_for_each_other_are_told():
    before = torch.get_num_threads()
    together, alone = doctor_speed.layers_ms(2)
    assert together > 0 and alone > 0 and torch.get_num_threads() == before
    assert "SLOW" not in doctor_speed.threads_line(20.0, 40.0, 2)
    told = doctor_speed.threads_line(400.0, 40.0, 4)
    assert told.endswith("OMP_NUM_THREADS=3 until it has ended")


def test_a_job_of_several_threads_is_told_of_busy_cores(monkeypatch):
    times = {"of": [20.0, 40.0]}
    monkeypatch.setattr(doctor_speed, "layers_ms", lambda num_threads: times["of"])
    assert doctor_speed.busy_line(2) is None
    times["of"] = [400.0, 40.0]
    assert "OMP_NUM_THREADS=1 until" in doctor_speed.busy_line(2)
    assert doctor_speed.busy_line(1) is None  # nobody to wait for


# --- CUDA ------------------------------------------------------------------------------------


def cuda_rows(monkeypatch, answers):
    """Rows of a GPU that is pretended, where every check fails."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(doctor.checks, "cuda_answers", lambda: answers)
    return {row.name: row for row in doctor._device_rows() if "CPU" not in row.name}


def test_gpu_that_cannot_be_asked_is_a_row_with_its_fix(monkeypatch):
    rows = cuda_rows(monkeypatch, answers=False)
    assert list(rows) == ["CUDA", "the rest on CUDA"] and rows["CUDA"].ok is False
    assert "nvidia-smi" in rows["CUDA"].fix
    assert "answers no more after: CUDA" in rows["the rest on CUDA"].detail


def test_checks_on_cuda_go_on_after_an_error_that_leaves_the_gpu_well(monkeypatch):
    rows = cuda_rows(monkeypatch, answers=True)
    assert {"CUDA", "Triton", "mmcv ops on CUDA", "dynamic scatter on CUDA"} <= set(rows)
    assert "the rest on CUDA" not in rows and rows["Triton"].ok is None


@needs_spconv
def test_sparse_convolution_is_compared_with_one_that_no_gpu_rounds(monkeypatch):
    """The dense one sees float64, and the same numbers at every call."""
    seen, plain = [], torch.nn.functional.conv3d

    def noting(x, *args, **kwargs):
        seen.append(x.detach())
        return plain(x, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "conv3d", noting)
    for _ in range(2):
        doctor.checks.sparse_convolution()
    assert seen[0].equal(seen[1]) and seen[0].dtype == torch.float64
    assert seen[0].device.type == "cpu"


# --- mmcv ------------------------------------------------------------------------------------


def mmcv_rows(monkeypatch, installed, ops, problem=None, at_start=True):
    found = health.MmcvHealth(installed, ops, problem)
    monkeypatch.setattr(health, "check", lambda: found)
    monkeypatch.setattr(doctor, "_finder_at_start", lambda: at_start)
    return list(doctor._mmcv_rows())


def test_mmcv_without_its_compiled_module_is_fine(monkeypatch):
    rows = mmcv_rows(monkeypatch, {"mmcv-lite": "2.1.0"}, "gemini_det3d")
    assert all(row.ok for row in rows)
    assert "nothing is compiled" in rows[0].detail and "when Python starts" in rows[1].detail


def test_finder_that_mmdet3ds_own_tools_would_miss_is_named(monkeypatch):
    rows = mmcv_rows(monkeypatch, {"mmcv-lite": "2.1.0"}, "gemini_det3d", at_start=False)
    assert rows[1].ok is False and "--force-reinstall --no-deps gemini_det3d" in rows[1].fix


def test_fault_of_mmcv_is_divided_into_what_and_fix(monkeypatch):
    problem = health.problem_of({"mmcv": "2.2.0"})
    (row,) = mmcv_rows(monkeypatch, {"mmcv": "2.2.0"}, None, problem)
    assert row.ok is False and "2.2.0" in row.detail and "pip" not in row.detail
    assert row.fix.startswith("pip uninstall") and "mmcv-lite==2.1.0" in row.fix


# --- spconv ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cuda, build",
    [(0, "spconv"), (13.0, "spconv-cu126"), (12.6, "spconv-cu126"), (12.4, "spconv-cu124"),
     (12.1, "spconv-cu121"), (11.8, "spconv-cu118")],
)  # fmt: skip
def test_remedy_names_a_build_of_spconv_that_exists(monkeypatch, cuda, build):
    version = tuple(int(part) for part in str(float(cuda)).split("."))
    monkeypatch.setattr(doctor, "_torch_cuda", lambda: version)
    assert doctor.spconv_remedy() == f"pip install {build}==2.3.8"


def test_cuda_build_of_spconv_needs_no_kernels_for_cpu_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(doctor, "spconv_build", lambda: ("spconv-cu126", "2.3.8"))
    (row,) = doctor._sparse_on_cpu(with_cuda=True)
    assert row.ok is None and "needs none" in row.detail
    (row,) = doctor._sparse_on_cpu(with_cuda=False)
    assert row.ok is False and row.fix.endswith("pip install spconv==2.3.8")


# --- half-installed stacks -------------------------------------------------------------------


def test_torch_that_does_not_see_numpy_is_one_line_with_the_fix(monkeypatch):
    import torch

    def blind(array):
        raise RuntimeError("Numpy is not available")

    assert stack.numpy_problem() is None
    monkeypatch.setattr(torch, "from_numpy", blind)
    problem = stack.numpy_problem()
    assert "Numpy is not available" in problem and "pip install 'numpy<2'" in problem
    with pytest.raises(ImportError, match="does not see numpy"):
        stack.require()
    row = next(doctor._problem_rows())
    assert row.name == "torch and numpy" and row.fix.startswith("pip install 'numpy<2'")


def test_torchvision_of_another_build_is_one_line_with_the_fix(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setattr(stack.metadata, "version", lambda package: "0.29.1")
    monkeypatch.setattr(stack, "import_module", broken)
    problem = stack.torchvision_problem()
    assert "0.29.1" in problem and "torchvision::nms does not exist)" in problem
    assert "pip uninstall -y torchvision" in problem and "\n" not in problem
    monkeypatch.setattr(stack, "import_module", lambda name: types.ModuleType(name))
    assert stack.torchvision_problem() is None


def test_stack_without_torchvision_is_fine(monkeypatch):
    def missing(package):
        raise stack.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(stack.metadata, "version", missing)
    assert stack.torchvision_problem() is None


@pytest.mark.usefixtures("each_reader")
def test_doctor_reads_a_checkpoint_and_says_what_it_was_told(monkeypatch):
    check = next(entry for entry in doctor.CHECKS if entry[0] == "checkpoints")
    assert doctor._check_row(*check).ok
    monkeypatch.setattr(torch, "load", lambda *_, **__: {"state_dict": {}})
    assert not doctor._check_row(*check).ok

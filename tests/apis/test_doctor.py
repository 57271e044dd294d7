"""The doctor finds out by running, names the fix, and never dies of what it examines."""

from __future__ import annotations

import pytest

from gemini_det3d.apis import doctor


def test_diagnose_finds_a_tested_machine_healthy():
    failed = [row for row in doctor.diagnose() if row.ok is False]
    assert failed == []


def test_diagnose_reports_a_missing_package_with_its_fix(monkeypatch):
    def missing(package):
        raise doctor.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "_installed", missing)
    row = doctor._version_row("mmcv")
    assert row.ok is False and "MMCV_WITH_OPS=1" in row.fix


@pytest.mark.parametrize("package, version", [("mmcv", "2.2.0"), ("numpy", "2.1.3")])
def test_diagnose_refuses_versions_that_cannot_work(monkeypatch, package, version):
    monkeypatch.setattr(doctor, "_installed", lambda name: version)
    row = doctor._version_row(package)
    assert row.ok is False and package in row.fix


def test_diagnose_says_when_a_version_is_another_than_the_tested_one(monkeypatch):
    monkeypatch.setattr(doctor, "_installed", lambda name: "2.4.1+cu121")
    row = doctor._version_row("torch")
    assert row.ok and "tested with 2.13.0" in row.detail


def test_report_goes_on_after_a_failure_and_exits_with_one(monkeypatch, capsys):
    def broken():
        raise RuntimeError("no such op\nand more")

    monkeypatch.setattr(doctor, "CHECKS", (("an op", broken, "mend it"), doctor.CHECKS[1]))
    assert doctor.run() == 1
    shown = capsys.readouterr().out
    assert "RuntimeError: no such op" in shown and "fix: mend it" in shown
    assert "fusion operator on CPU" in shown

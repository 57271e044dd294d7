"""The set-up says in one line what is missing, before it starts anything long."""

from __future__ import annotations

import importlib.util
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parent.parent / "tools" / "setup_env.py"
NOTHING = dict(TORCH="", MMCV="", SPCONV="")


@pytest.fixture
def setup_env():
    spec = importlib.util.spec_from_file_location("setup_env", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_is_missing_where_the_tests_run(setup_env, tmp_path):
    assert setup_env.what_is_missing(tmp_path / ".venv", NOTHING) is None


def test_an_unsupported_python_is_named(setup_env, tmp_path, monkeypatch):
    monkeypatch.setattr(setup_env.sys, "version_info", (3, 14, 0))
    line = setup_env.what_is_missing(tmp_path / ".venv", NOTHING)
    assert "Python 3.14" in line and "PYTHON=" in line and "\n" not in line


def test_a_missing_compiler_is_named_unless_mmcv_is_kept(setup_env, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "compiler" in setup_env.what_is_missing(tmp_path / ".venv", NOTHING)
    assert setup_env.what_is_missing(tmp_path / ".venv", {**NOTHING, "MMCV": "keep"}) is None


def test_a_full_disk_is_named(setup_env, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10, 9, 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "1.0 GiB free" in setup_env.what_is_missing(tmp_path / ".venv", NOTHING)


def test_a_second_run_does_nothing(setup_env, tmp_path, monkeypatch):
    venv = tmp_path / ".venv"
    venv.mkdir()
    for name in NOTHING:
        monkeypatch.delenv(name, raising=False)
    (venv / setup_env.STAMP).write_text(setup_env.fingerprint(NOTHING))
    monkeypatch.setattr(setup_env.sys, "argv", ["setup_env.py", "--venv", str(venv)])
    monkeypatch.setattr(setup_env, "install", lambda *a: pytest.fail("installed again"))
    assert setup_env.main() == 0


def test_constraints_of_chosen_packages_are_freed(setup_env, tmp_path):
    path = setup_env.writable_constraints(tmp_path, {**NOTHING, "TORCH": "torch==2.4.1"})
    names = {line.split("==")[0] for line in path.read_text().splitlines()}
    assert "torch" not in names and {"mmcv", "numpy", "spconv"} <= names

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


def test_no_compiler_is_needed_unless_mmcv_is_to_be_compiled(setup_env, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert setup_env.what_is_missing(tmp_path / ".venv", NOTHING) is None
    line = setup_env.what_is_missing(tmp_path / ".venv", {**NOTHING, "MMCV": "compiled"})
    assert "MMCV=compiled" in line and "compiler" in line


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


@pytest.mark.parametrize(
    "choice, expected",
    [
        ({}, ["torch", "mmcv-lite", "spconv"]),
        ({"MMCV": "compiled"}, ["torch", "spconv"]),
        ({"TORCH": "keep", "MMCV": "keep", "SPCONV": "keep"}, []),
        ({"TORCH": "torch==2.4.1", "SPCONV": "spconv-cu121"}, ["mmcv-lite", "spconv-cu121"]),
    ],
)
def test_choices_decide_what_is_installed_with_the_project(setup_env, choice, expected):
    assert setup_env.requirements({**NOTHING, **choice}) == expected


def a_package(folder, name, files):
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    record = [f"{name}/{file},," for file in files] + [f"{info.name}/METADATA,,"]
    (info / "RECORD").write_text("\n".join([*record, f"{name}/__pycache__/a.pyc,,"]) + "\n")
    for file in files:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / file).write_text("")
    return info


def test_packages_that_an_interruption_left_half_unpacked_are_installed_again(setup_env, tmp_path):
    whole, cut, bare = (
        a_package(tmp_path, name, ["a.py", "b.py"]) for name in ("whole", "cut", "bare")
    )
    (tmp_path / "cut" / "b.py").unlink()
    (bare / "RECORD").unlink()
    assert sorted(setup_env.drop_half_installed(tmp_path)) == ["bare", "cut"]
    assert whole.is_dir() and not cut.exists() and not bare.exists()

"""The set-up says in one line what is missing, before it starts anything long."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
import zipfile
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


def test_a_file_that_was_written_by_half_counts_as_missing(setup_env, tmp_path):
    info = a_package(tmp_path, "short", ["a.py"])
    record = (info / "RECORD").read_text()
    (info / "RECORD").write_text(record.replace("short/a.py,,", "short/a.py,sha256=x,7"))
    (tmp_path / "short" / "a.py").write_text("1234567")
    assert setup_env.drop_half_installed(tmp_path) == []
    (tmp_path / "short" / "a.py").write_text("1234")
    assert setup_env.drop_half_installed(tmp_path) == ["short"]


def test_a_file_that_two_packages_share_may_be_of_either(setup_env, tmp_path):
    for name, size in (("one", 3), ("other", 4)):  # as opencv-python and its headless build
        info = a_package(tmp_path, name, [])
        (info / "RECORD").write_text(f"cv2/a.so,sha256=x,{size}\n")
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "a.so").write_text("123")
    assert setup_env.drop_half_installed(tmp_path) == []


def test_what_pip_set_aside_when_it_was_killed_is_removed(setup_env, tmp_path):
    (tmp_path / "~umpy" / "core").mkdir(parents=True)
    setup_env.drop_half_installed(tmp_path)
    assert not (tmp_path / "~umpy").exists()


def a_wheel(folder: Path, num_files: int) -> Path:
    path = folder / "many-1.0-py3-none-any.whl"
    names = [f"many/m{i}.py" for i in range(num_files)] + ["many/__init__.py"]
    texts = {name: "x = 1\n" * 200 for name in names}
    texts["many-1.0.dist-info/METADATA"] = "Metadata-Version: 2.1\nName: many\nVersion: 1.0\n"
    texts["many-1.0.dist-info/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
        rows = [f"{name},," for name in texts] + ["many-1.0.dist-info/RECORD,,"]
        archive.writestr("many-1.0.dist-info/RECORD", "\n".join(rows) + "\n")
    return path


def test_a_pip_that_is_killed_while_it_unpacks_is_repaired_by_the_next_one(setup_env, tmp_path):
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env").glob("lib/python3*/site-packages")
    install = [sys.executable, "-m", "pip", "-q", "--python", str(python), "install", "--no-index"]
    install += ["--no-compile", "--disable-pip-version-check", str(a_wheel(tmp_path, 1500))]
    pip = subprocess.Popen(install)
    while pip.poll() is None and len(list(site.glob("many/*"))) < 20:
        time.sleep(0.002)
    pip.kill()
    assert pip.wait() == -signal.SIGKILL and len(list(site.glob("many/*"))) < 1500
    setup_env.drop_half_installed(site)
    subprocess.run(install, check=True)
    assert setup_env.drop_half_installed(site) == []
    assert len(list(site.glob("many/*"))) == 1501


def is_locked(path: Path) -> bool:
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_two_runs_wait_for_each_other_even_where_the_first_was_killed_and_its_pip_goes_on(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(PATH.parent)!r})\n"
        "import pathlib, setup_env\n"
        f"with setup_env.alone(pathlib.Path({str(tmp_path)!r})):\n"
        "    setup_env.run([sys.executable, '-c', \"import os, time;"
        ' print(os.getpid(), flush=True); time.sleep(60)"])\n'
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        assert is_locked(tmp_path / ".gemini_det3d_lock")
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()
    deadline = time.monotonic() + 5
    while is_locked(tmp_path / ".gemini_det3d_lock") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_locked(tmp_path / ".gemini_det3d_lock")


def test_temporary_files_of_a_killed_run_are_removed_by_the_next(setup_env, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "elsewhere")
    left = tmp_path / setup_env.SCRATCH / "pip-unpack-x" / "big.whl"
    left.parent.mkdir(parents=True)
    left.write_text("")
    with setup_env.scratch(tmp_path):
        assert not left.exists()
        assert os.environ["TMPDIR"] == str(tmp_path / setup_env.SCRATCH)
    assert not (tmp_path / setup_env.SCRATCH).exists()

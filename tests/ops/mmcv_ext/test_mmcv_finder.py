"""The finder answers for mmcv._ext alone, only where nothing else does, and imports nothing."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gemini_det3d import mmcv_finder
from gemini_det3d.ops.mmcv_ext.health import MmcvHealth, problem_of

ROOT = Path(mmcv_finder.__file__).parent.parent
PTH = "gemini_det3d_mmcv_ext.pth"
FIND = (
    "from gemini_det3d import mmcv_finder as f; f.install(); f.install(); import mmcv._ext as e; "
)


def fake_mmcv(folder: Path, version: str = "2.1.0", **files: str) -> Path:
    """A package mmcv with a version and whatever else is asked for."""
    (folder / "mmcv").mkdir()
    (folder / "mmcv" / "__init__.py").write_text(f"__version__ = {version!r}\n")
    for name, text in files.items():
        (folder / "mmcv" / f"{name}.py").write_text(text)
    return folder


def python(code: str, *path: Path) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter that sees these folders before all others."""
    search = f"import sys; sys.path[:0] = {[str(p) for p in (*path, ROOT)]}\n"
    return subprocess.run([sys.executable, "-c", search + code], capture_output=True, text=True)


def test_finder_gives_ours_where_mmcv_has_no_compiled_module(tmp_path):
    found = python(FIND + "print(e.__name__, e.__file__)", fake_mmcv(tmp_path))
    assert found.stdout.split() == [
        "mmcv._ext",
        str(ROOT / "gemini_det3d" / "ops" / "mmcv_ext" / "_ext.py"),
    ], found.stderr


def test_finder_stays_out_where_mmcv_has_a_module_of_its_own(tmp_path):
    found = python(FIND + "print(e.theirs)", fake_mmcv(tmp_path, _ext="theirs = 41"))
    assert found.stdout.split() == ["41"], found.stderr


def test_finder_stays_out_of_an_mmcv_of_another_major(tmp_path):
    found = python(FIND, fake_mmcv(tmp_path, version="1.7.2"))
    assert "No module named 'mmcv._ext'" in found.stderr


@pytest.mark.parametrize("name", ["mmcv.ops", "mmcv", "_ext", "gemini_det3d.ops", "mmcv._ext2"])
def test_finder_answers_for_no_other_module(name):
    assert mmcv_finder.MmcvExtFinder().find_spec(name) is None


def test_finder_is_installed_once_however_often_it_is_asked(monkeypatch):
    monkeypatch.setattr(
        sys, "meta_path", [f for f in sys.meta_path if not hasattr(f, "answers_for")]
    )
    before = len(sys.meta_path)
    assert not mmcv_finder.is_installed()
    mmcv_finder.install()
    mmcv_finder.install()
    assert mmcv_finder.is_installed() and len(sys.meta_path) == before + 1


def test_finder_imports_nothing_that_a_bare_python_has_not():
    code = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules)\n"
        "from gemini_det3d import mmcv_finder; mmcv_finder.install()\n"
        "print(sorted(set(sys.modules) - before - {'__future__'}))"
    )
    # -S: no site-packages, so nothing else has been imported on the finder's behalf.
    found = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "['gemini_det3d', 'gemini_det3d.mmcv_finder']", found.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, zipfile.ZipFile]:
    """The package as a wheel and as an editable wheel."""
    made = {}
    for kind in ("wheel", "editable"):
        out = tmp_path_factory.mktemp(kind)
        source = out / "source"
        source.mkdir()
        for name in ("setup.py", "pyproject.toml", "README.md"):
            (source / name).write_bytes((ROOT / name).read_bytes())
        for name in ("gemini_det3d", "configs"):
            (source / name).mkdir()
        (source / "gemini_det3d" / "__init__.py").write_text('__version__ = "7.5.3"\n')
        build = f"import setuptools.build_meta as b; b.build_{kind}({str(out)!r})"
        done = subprocess.run(
            [sys.executable, "-c", build], cwd=source, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        made[kind] = zipfile.ZipFile(next(out.glob("*.whl")))
    return made


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_installed_package_brings_the_line_that_python_runs_at_its_start(wheels, kind):
    line = wheels[kind].read(PTH).decode()
    assert line.startswith("import ") and line.count("\n") == 1


def test_line_at_the_start_of_python_installs_the_finder(wheels):
    line = wheels["wheel"].read(PTH).decode()
    ask = "print([f for f in sys.meta_path if getattr(f, 'answers_for', 0) == 'mmcv._ext'])"
    code = f"sys.meta_path[:] = [f for f in sys.meta_path if not hasattr(f, 'answers_for')]\n{line}"
    assert "MmcvExtFinder" in python(code + ask).stdout


def test_line_at_the_start_of_python_is_silent_where_the_package_is_broken(wheels, tmp_path):
    (tmp_path / "gemini_det3d.py").write_text("raise RuntimeError('broken')")
    done = python(wheels["wheel"].read(PTH).decode(), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


HEALTH = "from gemini_det3d.ops.mmcv_ext import health; "


def test_health_tells_ours_from_a_compiled_module():
    import mmcv._ext as ext

    ours = ext.__file__ == str(ROOT / "gemini_det3d" / "ops" / "mmcv_ext" / "_ext.py")
    found = python(HEALTH + "h = health.check(); print(h.ops, h.problem)").stdout.split()
    assert found == ["gemini_det3d" if ours else "compiled", "None"]


def test_health_names_a_compiled_module_for_another_torch_and_the_way_out(tmp_path):
    import sysconfig

    fake_mmcv(tmp_path)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    (tmp_path / "mmcv" / f"_ext{suffix}").write_bytes(b"no module at all")
    health = python(HEALTH + "print(health.check().problem)", tmp_path).stdout
    assert health.count("\n") == 1
    assert "for another torch" in health and "pip install mmcv-lite==2.1.0" in health


@pytest.mark.parametrize(
    ("installed", "says"),
    [
        ({}, "mmcv is not installed"),
        ({"mmcv": "2.1.0", "mmcv-lite": "2.1.0"}, "mmcv 2.1.0 and mmcv-lite 2.1.0 share one"),
        ({"mmcv-full": "1.7.2"}, "not mmcv-full 1.7.2"),
        ({"mmcv": "2.2.0"}, "not mmcv 2.2.0"),
        ({"mmcv": "1.7.1"}, "not mmcv 1.7.1"),
    ],
)
def test_health_says_in_one_line_what_is_wrong_and_what_to_do(installed, says):
    problem = problem_of(installed)
    assert says in problem and "\n" not in problem and "pip install mmcv-lite==2.1.0" in problem


@pytest.mark.parametrize("version", ["2.0.0", "2.0.1", "2.1.0", "2.1.0+cu121"])
def test_health_is_content_with_what_mmdet3d_takes(version):
    assert problem_of({"mmcv": version}) is None and problem_of({"mmcv-lite": version}) is None


def test_health_names_what_mmcv_itself_misses(tmp_path):
    fake_mmcv(tmp_path)
    (tmp_path / "mmcv" / "__init__.py").write_text("import cv2_of_another_world")
    health = python(HEALTH + "print(health.check().problem)", tmp_path).stdout
    assert health.count("\n") == 1
    assert "mmcv does not load" in health and "pip install cv2_of_another_world" in health


def test_health_takes_the_version_of_an_mmcv_that_no_package_manager_knows(tmp_path):
    fake_mmcv(tmp_path, version="2.0.1")
    code = HEALTH + "health.DISTRIBUTIONS = (); h = health.check(); print(h.installed, h.ops)"
    assert python(code, tmp_path).stdout.strip() == "{'mmcv': '2.0.1'} gemini_det3d"


def test_plugin_raises_the_line_instead_of_what_breaks_later(monkeypatch):
    from gemini_det3d.ops.mmcv_ext import health

    monkeypatch.setattr(health, "check", lambda: MmcvHealth({}, None, "mend it so"))
    with pytest.raises(ImportError, match="^mend it so$"):
        health.require()

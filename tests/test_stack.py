"""Packages that do not fit together are one line with the command that mends it."""

from __future__ import annotations

import importlib
import sys
import types

import pytest

from gemini_det3d import stack
from gemini_det3d.apis import doctor
from gemini_det3d.ops.mmcv_ext import health


def fails_with(error):
    def import_module(name):
        raise error

    return import_module


def is_one_line_with_a_command(problem: str) -> bool:
    what, fix = doctor._what_and_fix(problem)
    return "\n" not in problem and what != "" and fix.startswith("pip ")


def test_the_stack_that_runs_the_tests_has_no_problem():
    assert {name: found() for name, found in stack.PROBLEMS.items() if found()} == {}
    assert stack.loading_problem() is None


def test_numba_that_refuses_numpy_is_named_with_both_versions(monkeypatch):
    error = ImportError("Numba needs NumPy 1.26 or less")
    monkeypatch.setattr(stack, "import_module", fails_with(error))
    versions = {"numba": "0.59.1", "numpy": "2.2.6"}
    monkeypatch.setattr(stack.metadata, "version", versions.__getitem__)
    problem = stack.numba_problem()
    assert "numba 0.59.1 with numpy 2.2.6" in problem and "NumPy 1.26 or less" in problem
    assert is_one_line_with_a_command(problem) and "--upgrade numba" in problem


@pytest.mark.parametrize(
    "error, said",
    [
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), "OpenCV is not installed"),
        (ImportError("libGL.so.1: cannot open shared object file"), "libGL.so.1"),
        (AttributeError("_ARRAY_API not found"), "_ARRAY_API not found"),
    ],
)
def test_opencv_that_does_not_load_gets_the_build_that_needs_no_screen(monkeypatch, error, said):
    monkeypatch.setattr(stack, "import_module", fails_with(error))
    problem = stack.opencv_problem()
    assert said in problem and is_one_line_with_a_command(problem)
    assert "opencv-python-headless" in problem


def test_opencv_of_which_one_distribution_was_removed_is_there_by_half(monkeypatch):
    monkeypatch.setattr(stack, "import_module", lambda name: types.ModuleType("cv2"))
    problem = stack.opencv_problem()
    assert "by half" in problem and is_one_line_with_a_command(problem)


@pytest.mark.parametrize("numpy, pinned", [("1.26.4", True), ("2.2.6", False)])
def test_opencv_is_asked_for_in_a_release_for_the_numpy_that_is_there(monkeypatch, numpy, pinned):
    monkeypatch.setattr(stack, "import_module", lambda name: types.ModuleType("cv2"))
    monkeypatch.setattr(stack.metadata, "version", lambda package: numpy)
    assert ("<4.12" in stack.opencv_problem()) is pinned


def test_setuptools_without_pkg_resources_is_named(monkeypatch):
    monkeypatch.setattr(stack, "find_spec", lambda name: None)
    monkeypatch.setattr(stack.metadata, "version", lambda package: "82.0.0")
    problem = stack.setuptools_problem()
    assert "setuptools 82.0.0 has no pkg_resources" in problem
    assert is_one_line_with_a_command(problem) and "'setuptools<81'" in problem


def a_copy(folder, name, version):
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    (folder / name / "version.py").write_text(f"__version__ = '{version}'\n")
    return folder


@pytest.mark.parametrize("name, version", [("mmengine", "0.7.4"), ("mmdet", "2.28.2")])
def test_a_host_of_another_time_is_named_with_what_is_needed(monkeypatch, tmp_path, name, version):
    monkeypatch.syspath_prepend(a_copy(tmp_path, name, version))
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(stack.metadata, "version", lambda package: version)
    monkeypatch.setattr(stack, "HOSTS", {name: stack.HOSTS[name]})
    problem = stack.hosts_problem()
    assert f"not {version}" in problem and is_one_line_with_a_command(problem)
    assert problem.endswith(f"pip install {name}=={stack.HOSTS[name][0]}")


def test_a_second_copy_of_mmdet3d_is_named_with_its_folder(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(a_copy(tmp_path, "mmdet3d", "1.1.0"))
    monkeypatch.delitem(sys.modules, "mmdet3d")
    problem = stack.hosts_problem()
    assert f"Python imports 1.1.0 from {tmp_path / 'mmdet3d'}, pip knows 1.4.0" in problem
    assert is_one_line_with_a_command(problem)


def test_a_host_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(stack, "find_spec", lambda name: None)
    assert stack.hosts_problem() == "mmengine is not installed: pip install mmengine==0.10.7"


def test_package_built_for_another_numpy_is_named_where_mmdet3d_does_not_load(
    monkeypatch, tmp_path
):
    folder = tmp_path / "site-packages"
    (folder / "for_other_numpy").mkdir(parents=True)
    (folder / "for_other_numpy" / "__init__.py").write_text(
        "raise ValueError('numpy.dtype size changed')\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(
        stack, "import_module", lambda name: importlib.import_module("for_other_numpy")
    )
    problem = stack.loading_problem()
    assert "numpy.dtype size changed" in problem and is_one_line_with_a_command(problem)
    assert problem.endswith("pip install --force-reinstall --no-deps for_other_numpy")


@pytest.mark.parametrize(
    "module, package",
    [("shapely", "shapely"), ("PIL", "pillow"), ("yaml", "PyYAML"), ("skimage.io", "scikit-image")],
)
def test_a_module_that_is_missing_is_named_as_pip_calls_it(monkeypatch, module, package):
    error = ModuleNotFoundError(f"No module named '{module}'", name=module)
    monkeypatch.setattr(stack, "import_module", fails_with(error))
    said = f"No module named '{module}': pip install {package}"
    assert stack.loading_problem() == f"mmdet3d does not load: {said}"
    assert stack.numba_problem() == said
    assert health._reason(error) == said


def test_doctor_takes_the_fix_from_the_error_where_it_names_one():
    def broken():
        raise ImportError("setuptools 82 has no pkg_resources: pip install 'setuptools<81'")

    row = doctor._check_row("plug-in", broken, "another fix")
    assert row.fix == "pip install 'setuptools<81'" and "pip" not in row.detail

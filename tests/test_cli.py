"""The console command: help without heavy imports, one line for a mistake."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gemini_det3d.cli import COMMANDS, SCRIPTS, main
from gemini_det3d.commands import Command, load_command


def command(*argv: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "gemini_det3d.cli", *argv],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_help_lists_every_command_and_imports_no_torch():
    code = (
        "import sys; from gemini_det3d.cli import main; main(['--help']); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in SCRIPTS])
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit, match="^0$"):
        main([name, "--help"])
    assert f"gemini-det3d {name}" in capsys.readouterr().out


def test_unknown_command_is_one_line(capsys):
    assert main(["fuse"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_unknown_config_is_one_line_that_lists_the_known(capsys):
    assert main(["train", "no_such_config"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "mvxnet_gemini-point" in error


def test_bad_file_is_one_line_that_names_it(capsys, tmp_path):
    assert main(["eval-kitti", str(tmp_path / "nothing"), str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(tmp_path) in error


def test_train_is_mmdet3d_own_script():
    done = command("train", "--help")
    assert done.returncode == 0 and "--auto-scale-lr" in done.stdout


def test_benchmarks_outside_of_a_checkout_are_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("gemini_det3d.commands.benchmark._FOLDER", tmp_path / "benchmarks")
    assert main(["benchmark", "fusion", "x"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "checkout" in error


def test_package_that_is_not_there_is_one_line(monkeypatch, capsys):
    from gemini_det3d.commands import doctor

    def fail(args):
        raise ImportError("GeminiSparseEncoder needs\nsparse convolution")

    monkeypatch.setattr(doctor, "run", fail)
    assert main(["doctor"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "needs sparse convolution" in error


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in SCRIPTS])
def test_every_command_keeps_to_the_protocol(name):
    assert isinstance(load_command(COMMANDS[name][0]), Command)

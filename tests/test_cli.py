"""The console command: help without heavy imports, one line for a mistake."""

from __future__ import annotations

import os
import subprocess
import sys
import time

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


def test_misspelt_command_is_told_the_command_that_is_close(capsys):
    assert main(["trian", "x"]) == 2
    assert "close to it: train" in capsys.readouterr().err


def test_unknown_config_is_one_line_that_lists_the_known(capsys):
    assert main(["train", "no_such_config"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "mvxnet_gemini-point" in error


def test_misspelt_config_is_told_those_that_are_close_alone(capsys):
    assert main(["train", "mvxnet_gemini-point_r50_1xb2-80e_kitti-3d"]) == 2
    error = capsys.readouterr().err
    assert "close to it: mvxnet_gemini-point_r50_1xb2-80e_kitti-3d-3class" in error
    assert "segformer" not in error


_STARTS_A_PROGRAM = """
import sys
from pathlib import Path
from gemini_det3d.apis.process import Programs
from gemini_det3d.cli import main
from gemini_det3d.commands import doctor

child = ["-c", "import os, time; print(os.getpid()); time.sleep(300)"]
doctor.run = lambda args: Programs().follow(child, Path(sys.argv[1]))
sys.exit(main(["doctor"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to catch")
def test_command_that_is_terminated_takes_along_what_it_started(tmp_path):
    log = tmp_path / "log.txt"
    parent = subprocess.Popen([sys.executable, "-c", _STARTS_A_PROGRAM, str(log)])
    until = time.monotonic() + 60
    while not (log.is_file() and log.read_text().endswith("\n")):
        assert parent.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    parent.terminate()
    assert parent.wait(60) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)


def test_bad_file_is_one_line_that_names_it(capsys, tmp_path):
    assert main(["eval-kitti", str(tmp_path / "nothing"), str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(tmp_path) in error


def test_train_is_mmdet3d_own_script():
    done = command("train", "--help")
    assert done.returncode == 0 and "--auto-scale-lr" in done.stdout
    assert "--skip-bad N" in done.stdout.split("options of gemini-det3d")[1]


@pytest.mark.parametrize("name", ["train", "test"])
def test_help_of_a_script_tells_every_option_of_ours(name, monkeypatch, capsys, tmp_path):
    from gemini_det3d.apis import launch, speed_options

    script = tmp_path / "tools" / f"{name}.py"
    script.parent.mkdir()
    script.write_text("import argparse\nargparse.ArgumentParser().parse_args()")
    monkeypatch.setattr(launch, "mmdet3d_mim", lambda: tmp_path)
    assert launch.run_script(name, ["--help"]) == 0
    told = capsys.readouterr().out.split("options of gemini-det3d")[1]
    ours = {"--skip-bad", "--allow-missing", *(speed_options._OPTIONS if name == "train" else ())}
    assert {word for word in told.split() if word.startswith("--")} == ours


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
    assert error.count("\n") == 1 and error.endswith("needs sparse convolution\n")


def test_full_gpu_keeps_its_frames_and_is_told_what_to_do(monkeypatch):
    import torch

    from gemini_det3d.commands import doctor
    from gemini_det3d.formats.device_faults import DeviceError

    def fail(args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(doctor, "run", fail)
    with pytest.raises(DeviceError, match="2 GiB .*lower batch_size") as caught:
        main(["doctor"])
    assert isinstance(caught.value.__cause__, torch.cuda.OutOfMemoryError)


@pytest.mark.parametrize("raised", ["of the stack", "behind another", "of a host"])
def test_only_a_fault_of_the_stack_sends_to_the_doctor(monkeypatch, capsys, raised):
    from gemini_det3d.commands import doctor
    from gemini_det3d.stack import StackError

    def fail(args):
        if raised == "of a host":
            raise ModuleNotFoundError("No module named 'mmdet3d'", name="mmdet3d")
        try:
            raise StackError("numba is too old")
        except ImportError:
            if raised == "of the stack":
                raise
            raise ImportError("Failed to import plugin")  # noqa: B904 (as mmengine does)

    monkeypatch.setattr(doctor, "run", fail)
    assert main(["doctor"]) == 2
    fault = "No module named 'mmdet3d'" if raised == "of a host" else "numba is too old"
    assert (
        capsys.readouterr().err == f"gemini-det3d doctor: {fault} (gemini-det3d doctor says more)\n"
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["make-rooms", "--train", "-1"], "--train -1: must be 0 or more"),
        (["make-rooms", "--workers", "0"], "--workers 0: must be 1 or more"),
        (["make-views", "--val", "-2"], "--val -2: must be 0 or more"),
        (["make-views", "--size", "4"], "--size 4: must be 8 or more"),
        (["make-scenes", "--beams", "0"], "--beams 0: must be positive"),
        (["make-scenes", "--azimuths", "0"], "--azimuths 0: must be positive"),
        (["make-scenes", "--field", "nan"], "--field nan: must be positive"),
        (["make-scenes", "--range", "nan"], "--range nan: must be positive"),
        (["make-scenes", "--decoys", "2"], "--decoys 2.0: must lie in 0 to 1"),
        (["make-scenes", "--image-size", "0", "9"], "--image-size 0: must be 1 or more"),
        (["make-scenes", "--train", "-1"], "--train -1: must be 0 or more"),
        (["eval-sunrgbd", "a", "--iou", "1.5", "0.5"], "--iou 1.5 0.5: overlaps lie between"),
        (["eval-sunrgbd", "a", "--classes", "bed", "bed"], "--classes: classes must be different"),
    ],
)
def test_wrong_value_is_told_by_the_option_it_came_from(tmp_path, capsys, argv, said):
    name, *options = argv
    assert main([name, str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"gemini-det3d {name}: {said}") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in SCRIPTS])
def test_every_command_keeps_to_the_protocol(name):
    assert isinstance(load_command(COMMANDS[name][0]), Command)

"""`train --tf32`, `--fused`, `--compile`: changes of the config, or one line where it cannot be."""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.apis import speed_options
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.launch import with_speed_options
from gemini_det3d.apis.script_options import checked_arguments
from gemini_det3d.cli import main
from gemini_det3d.engine.tf32 import TF32Hook

TOY = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU of some compute capability, to those who ask."""

    def has(*capability: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(speed_options, "find_spec", lambda name: None)

    return has


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_options_stand_for_changes_of_the_config_and_say_so(gpu, monkeypatch, capsys):
    gpu(9, 0)
    monkeypatch.setattr(speed_options, "find_spec", lambda name: object())
    given = ["--tf32", "--fused", "--compile"]
    found = with_speed_options([TOY, *given, "--cfg-options", "resume=True"])
    fused = "optim_wrapper.optimizer.fused=True"
    wanted = ["default_hooks.tf32.type=TF32Hook", fused, "compile=True"]
    assert found == [TOY, "--cfg-options", *wanted, "resume=True"]
    assert f"stands for --cfg-options {' '.join(wanted)}" in capsys.readouterr().err
    assert set(wanted) < set(checked_arguments("train", found))


def test_arguments_without_them_stay_as_they_are(capsys):
    assert with_speed_options([TOY, "--amp"]) == [TOY, "--amp"]
    assert capsys.readouterr().err == ""


def test_tf32_is_refused_without_a_gpu_that_has_it(gpu, monkeypatch):
    gpu(7, 5)
    with pytest.raises(ConfigError, match=r"--tf32 needs .* 8\.0 or later, this one has 7\.5"):
        with_speed_options([TOY, "--tf32"])


@pytest.mark.parametrize("option", ["--tf32", "--fused"])
def test_what_needs_a_gpu_is_one_line_without(no_gpu, capsys, option):
    assert main(["train", TOY, option]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"gemini-det3d train: {option} needs a GPU, and torch sees none"
    ]


def test_compile_is_refused_on_a_gpu_without_triton(gpu):
    gpu(9, 0)
    with pytest.raises(ConfigError, match="--compile needs Triton"):
        with_speed_options([TOY, "--compile"])


def test_compile_is_refused_on_a_cpu_without_a_compiler(no_gpu, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="needs a C\\+\\+ compiler"):
        with_speed_options([TOY, "--compile"])


def test_hook_allows_tf32_for_the_run_alone():
    before = torch.get_float32_matmul_precision()
    hook = TF32Hook()
    hook.before_run(None)
    assert torch.get_float32_matmul_precision() == "high"
    hook.after_run(None)
    assert torch.get_float32_matmul_precision() == before

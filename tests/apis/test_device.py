"""One rule for where things run: CUDA where there is one, unless a device is named."""

from __future__ import annotations

import argparse
from importlib import import_module

import pytest
import torch
from mmengine.config import Config

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.devices import choose_device
from gemini_det3d.apis.trained_model import allowed_missing
from gemini_det3d.cli import main

COMMANDS = ("ablate", "draw", "eval_robustness", "eval_sensors", "infer", "translate")


@pytest.mark.parametrize("there, expected", [(True, "cuda"), (False, "cpu")])
def test_without_a_name_cuda_is_chosen_where_there_is_one(monkeypatch, there, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(there))
    assert choose_device().type == expected
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "xpu", "mps", "hpu", "vulkan", "meta"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(ConfigError, match=f"--device {name}"):
        choose_device(name)


def test_a_gpu_named_by_its_number_becomes_the_current_one(monkeypatch):
    """Kernels of mmcv and spconv launch on the current GPU, whatever their tensors' device."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert choose_device("cuda:1").index == 1 and chosen == [torch.device("cuda:1")]
    choose_device("cuda")
    assert len(chosen) == 1  # whichever is current


@pytest.mark.parametrize("arguments", [
    ["fusion"], ["segmentation"], ["detectors", "nowhere"],
    ["data", "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"],
])  # fmt: skip
def test_every_benchmark_on_a_device_names_one_that_is_not_there(arguments, capsys):
    assert main(["benchmark", *arguments, "--device=cuda:7"]) == 2
    said = "gemini-det3d benchmark: --device cuda:7: torch sees "
    assert capsys.readouterr().err.startswith(said)


def test_config_with_its_default_hooks_switched_off_allows_nothing_to_be_missing():
    assert allowed_missing(Config(dict(default_hooks=None))) == ()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_runs_a_model_leaves_the_choice_to_the_rule(command):
    parser = argparse.ArgumentParser()
    import_module(f"gemini_det3d.commands.{command}").add_arguments(parser)
    assert parser.get_default("device") is None
    (option,) = (a for a in parser._actions if "--device" in a.option_strings)
    assert "CUDA where there is one" in option.help

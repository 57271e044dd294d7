"""Weights of a checkpoint of ours alone, under their own names."""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.cli import main
from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.models.checkpoints import read_checkpoint


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_checkpoint_of_ours_keeps_its_names_without_the_optimiser(tmp_path, capsys, suffix):
    fusion = GeminiFusion(8, 2)
    source, target = tmp_path / "epoch_2.pth", tmp_path / f"weights{suffix}"
    torch.save({"state_dict": fusion.state_dict(), "optimizer": {"state": [1.0] * 9}}, source)
    assert main(["convert-checkpoint", "--as-is", str(source), str(target)]) == 0
    assert f"{len(fusion.state_dict())} parameters under their own names" in capsys.readouterr().out
    found = read_checkpoint(target)
    assert "optimizer" not in found
    torch.testing.assert_close(dict(found["state_dict"]), dict(fusion.state_dict()))


def test_names_that_are_kept_may_be_held_against_a_config(tmp_path, capsys):
    config = tmp_path / "config.py"
    config.write_text("custom_imports = dict(imports=['gemini_det3d.plugin'])\n"
                      "model = dict(type='mmdet.ResNet', depth=18)\n")  # fmt: skip
    from mmdet.models import ResNet

    source, target = tmp_path / "resnet.pth", tmp_path / "weights.safetensors"
    command = ["convert-checkpoint", "--as-is", "--config", str(config), str(source), str(target)]
    state = ResNet(18).state_dict()
    torch.save({"state_dict": state}, source)
    assert main(command) == 0 and target.is_file()
    target.unlink()
    del state["conv1.weight"]
    torch.save({"state_dict": state}, source)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "conv1.weight" in error and "--without PREFIX leaves them out" in error
    assert not target.exists()
    assert main([*command, "--without", "conv1"]) == 0 and target.is_file()


@pytest.mark.parametrize("window", ["0", "-3"])
def test_a_window_without_a_pixel_is_refused(tmp_path, capsys, window):
    source = tmp_path / "a.pth"
    torch.save({"state_dict": GeminiFusion(8, 2).state_dict()}, source)
    assert main(["convert-checkpoint", str(source), "--window-size", window]) == 2
    assert f"--window-size {window}: must be 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--to-released", "x"], ["--window-size", "7"]])
def test_keeping_names_does_not_go_with_another_conversion(tmp_path, capsys, more):
    source = tmp_path / "a.pth"
    torch.save({"state_dict": GeminiFusion(8, 2).state_dict()}, source)
    assert main(["convert-checkpoint", "--as-is", str(source), *more]) == 2
    assert f"--as-is: does not go with {more[0]}" in capsys.readouterr().err

"""There and back by the command: every bit of every published layout, in every container."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gemini_det3d.cli import main
from gemini_det3d.models.checkpoints import read_checkpoint, write_state

LAYOUTS = {
    "segmentation_mit_b3_nyudv2": "released MiT segmentor",
    "segmentation_swin_tiny_nyudv2": "released Swin segmentor",
    "deliver_b2_2modal_backbone": "released DeLiVER segmentor",
    "deliver_b2_4modal_backbone": "released DeLiVER segmentor",
    "detection_mvxnet_kitti": "released KITTI detector",
}
LARGE = {
    "segmentation_mit_b5_nyudv2": "released MiT segmentor",
    "segmentation_swin_large_window12_nyudv2": "released Swin segmentor",
}


def released(
    shared_dir: Path, name: str, dtype: torch.dtype, narrower: int = 1
) -> dict[str, torch.Tensor]:
    """Random values under a released file's names; with a part of the channels."""

    def size(axis: int) -> int:
        return axis if axis % 32 else axis // narrower

    keys = json.loads((shared_dir / "golden" / "released_state_dict_keys.json").read_text())
    generator = torch.Generator().manual_seed(0)
    return {
        parameter: torch.randint(0, 9, shape)
        if parameter.endswith(("num_batches_tracked", "position_index"))
        else torch.randn([*map(size, shape)], generator=generator).to(dtype)
        for parameter, shape in keys[name].items()
    }


def there_and_back(folder: Path, layout: str, suffix: str) -> tuple[dict, dict]:
    """Our parameters after one way, and after there, back and there again."""
    ours, back, again = (folder / f"{name}{suffix}" for name in ("ours", "back", "again"))
    assert main(["convert-checkpoint", str(folder / "released.pth"), str(ours)]) == 0
    assert main(["convert-checkpoint", str(ours), str(back), "--to-released", layout]) == 0
    assert main(["convert-checkpoint", str(back), str(again)]) == 0
    return read_checkpoint(ours)["state_dict"], read_checkpoint(again)["state_dict"]


def assert_same_bits(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype, name
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_comes_back_to_the_last_bit(shared_dir, tmp_path, name: str) -> None:
    narrower = 1 if "detection" in name else 4  # a detector's shapes are those of its config
    torch.save(released(shared_dir, name, torch.float32, narrower), tmp_path / "released.pth")
    assert_same_bits(*there_and_back(tmp_path, LAYOUTS[name], ".pth"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LAYOUTS, *LARGE])
def test_every_layout_comes_back_in_its_size(shared_dir, tmp_path, name: str) -> None:
    torch.save(released(shared_dir, name, torch.float32), tmp_path / "released.pth")
    assert_same_bits(*there_and_back(tmp_path, {**LAYOUTS, **LARGE}[name], ".pth"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_halves_come_back_as_halves(shared_dir, tmp_path, dtype, suffix: str) -> None:
    state = released(shared_dir, "detection_mvxnet_kitti", dtype)
    write_state(tmp_path / "released.pth", state, {})
    assert_same_bits(*there_and_back(tmp_path, "released KITTI detector", suffix))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_detector_of_spconv_1_gives_the_weights_of_spconv_2(
    shared_dir, tmp_path: Path, suffix: str
) -> None:
    state = released(shared_dir, "detection_mvxnet_kitti", torch.float32)
    older = {n: t.movedim(0, -1).contiguous() if t.dim() == 5 else t for n, t in state.items()}
    torch.save(older, tmp_path / "released.pth")
    ours, _ = there_and_back(tmp_path, "released KITTI detector", suffix)
    name = "pts_middle_encoder.conv_input.0.weight"
    assert older[name].shape != state[name].shape
    assert torch.equal(ours[name], state[name])


def test_converted_detector_states_its_layout_to_mmdet3d(shared_dir, tmp_path: Path) -> None:
    torch.save(
        released(shared_dir, "detection_mvxnet_kitti", torch.float32), tmp_path / "released.pth"
    )
    ours = tmp_path / "ours.pth"
    assert main(["convert-checkpoint", str(tmp_path / "released.pth"), str(ours)]) == 0
    versions = torch.load(ours, weights_only=True)["state_dict"]._metadata
    assert versions["pts_middle_encoder.conv_input.0"] == {"version": 2}

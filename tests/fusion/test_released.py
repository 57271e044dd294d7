"""Whole released checkpoints: every fusion block is found and converted."""

from __future__ import annotations

import json

import pytest
import torch
from reference import random_released

from gemini_det3d.fusion import (
    GeminiFusion,
    GeminiWaysFusion,
    convert_released_state_dict,
    find_released_blocks,
    to_released,
)
from gemini_det3d.fusion.released import RELEASED_NAMES


def test_blocks_are_converted_and_other_names_stay():
    checkpoint = {"a.alpha": torch.ones(2)}
    for index in range(3):
        block = random_released(8, seed=index)
        checkpoint.update({f"a.{index}.{name}": tensor for name, tensor in block.items()})
    converted = convert_released_state_dict(checkpoint, lambda prefix: prefix + "operator.")
    names = {f"a.{i}.operator.{name}" for i in range(3) for name in GeminiFusion(8).state_dict()}
    assert converted.keys() == names | {"a.alpha"}
    back = {"a.alpha": converted["a.alpha"]}
    for prefix in find_released_blocks(checkpoint):
        inner = prefix + "operator."
        ours = {k[len(inner) :]: v for k, v in converted.items() if k.startswith(inner)}
        back.update(to_released(ours, prefix))
    assert back.keys() == checkpoint.keys()
    assert all(torch.equal(back[name], checkpoint[name]) for name in checkpoint)


def test_every_released_checkpoint_has_the_blocks_of_its_paper_row(shared_dir):
    lists = json.loads((shared_dir / "golden" / "released_state_dict_keys.json").read_text())
    wanted = {"segmentation_mit_b3_nyudv2": 28, "segmentation_mit_b5_nyudv2": 52}
    wanted |= {"segmentation_swin_tiny_nyudv2": 12, "detection_mvxnet_kitti": 2}
    for name, count in wanted.items():
        checkpoint = {
            key: torch.empty(shape, device="meta") for key, shape in dict(lists[name]).items()
        }
        assert len(find_released_blocks(checkpoint)) == count, name
        before = sum(tensor.numel() for tensor in checkpoint.values())
        converted = convert_released_state_dict(checkpoint)
        assert sum(tensor.numel() for tensor in converted.values()) == before
        assert not find_released_blocks(converted)


def test_operators_that_are_not_the_released_one_have_no_released_names():
    """Of three streams two would be written, and the file would load."""
    with pytest.raises(ValueError, match="a.query_weight is of 3 streams"):
        to_released(GeminiWaysFusion(8, 3, 2).state_dict(), "a.")
    with pytest.raises(ValueError, match="key_noise is missing"):
        GeminiFusion(8, 2, with_noise=False).to_released()
    two = to_released(GeminiWaysFusion(8, 2, 2).state_dict())
    assert set(two) == set(RELEASED_NAMES)


def test_released_parameters_that_are_no_tensors_are_named():
    operator = GeminiFusion(8, 2)
    arrays = {name: tensor.numpy() for name, tensor in operator.to_released().items()}
    said = r"a\.cross_attn_0_to_1\.in_proj_weight must be a tensor, got ndarray"
    with pytest.raises(TypeError, match=said):
        GeminiFusion.from_released({f"a.{n}": x for n, x in arrays.items()}, 2, prefix="a.")

"""The published detector at full size: its parameters, one for one."""

from __future__ import annotations

import json

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config

from gemini_det3d.apis.config import find_config, mmdet3d_mim
from gemini_det3d.models.checkpoints import convert_released_detector


def build(name: str):
    return MODELS.build(Config.fromfile(find_config(name)).model)


@pytest.fixture(scope="module")
def detector():
    return build("mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class")


def test_published_detector_has_34_80_million_parameters(detector):
    assert sum(p.numel() for p in detector.parameters()) / 1e6 == pytest.approx(34.80, abs=0.005)


def test_published_baseline_has_33_81_million_parameters():
    model = build("mvxnet_r50_8xb2-80e_kitti-3d-3class")
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(33.81, abs=0.005)


def test_published_checkpoint_maps_one_to_one(detector, shared_dir):
    keys = json.loads((shared_dir / "golden" / "released_state_dict_keys.json").read_text())
    shapes = keys["detection_mvxnet_kitti"]
    converted = convert_released_detector({n: torch.zeros(s) for n, s in shapes.items()})
    ours = {name: tuple(value.shape) for name, value in detector.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in converted.items()} == ours
    assert sum(v.numel() for v in converted.values()) == sum(
        torch.Size(shape).numel() for shape in shapes.values()
    )


def test_baseline_has_the_names_and_shapes_of_mmdet3d_own_model():
    ours = build("mvxnet_r50_8xb2-80e_kitti-3d-3class").state_dict()
    name = "mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py"
    theirs = MODELS.build(Config.fromfile(mmdet3d_mim() / "configs" / name).model).state_dict()
    assert {n: v.shape for n, v in ours.items()} == {n: v.shape for n, v in theirs.items()}

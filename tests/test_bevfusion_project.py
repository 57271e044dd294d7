"""Our neck in mmdet3d's BEVFusion: the config inherits, the neck fits; its CUDA ops are not needed.

With the environment variable MMDET3D naming a checkout the config inherits the real project, else
a stand-in of the few entries that matter here.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config

import gemini_det3d.plugin  # noqa: F401

FOLDER = Path(__file__).resolve().parent.parent / "projects" / "BEVFusion" / "configs"
BASE = "bevfusion_lidar-cam_voxel0075_second_secfpn_8xb4-cyclic-20e_nus-3d.py"
STAND_IN = """
custom_imports = dict(imports=['projects.BEVFusion.bevfusion'], allow_failed_imports=False)
model = dict(
    type='BEVFusion',
    fusion_layer=dict(type='ConvFuser', in_channels=[80, 256], out_channels=256))
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    if "MMDET3D" not in os.environ:
        base = tmp_path / "projects" / "BEVFusion" / "configs" / BASE
        base.parent.mkdir(parents=True)
        base.write_text(STAND_IN)
        monkeypatch.setenv("MMDET3D", tmp_path.as_posix())
    (path,) = FOLDER.glob("*.py")
    return Config.fromfile(path, import_custom_modules=False)  # the ops' package needs CUDA


def test_config_changes_the_fusion_layer_and_nothing_else_of_the_model(config):
    layer = config.model.fusion_layer
    assert config.model.type == "BEVFusion"
    assert layer.type == "MapFusionNeck" and layer.operator.type == "GeminiFusion"
    assert list(layer.in_channels) == [80, 256] and layer.out_channels == 256


def test_config_imports_the_project_and_the_plugin(config):
    assert set(config.custom_imports.imports) == {
        "projects.BEVFusion.bevfusion",
        "gemini_det3d.plugin",
    }


def test_neck_of_the_config_fuses_the_maps_of_bevfusion(config):
    neck = MODELS.build(config.model.fusion_layer)
    camera, lidar = torch.randn(2, 80, 7, 5), torch.randn(2, 256, 7, 5)
    fused = neck([camera, lidar])  # the call of BEVFusion.extract_feat
    assert fused.shape == (2, 256, 7, 5)
    fused.square().sum().backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("operator", ["SumFusion", "ConcatFusion", "TokenExchangeFusion"])
def test_operator_is_swapped_by_one_word(config, operator):
    config.merge_from_dict({"model.fusion_layer.operator.type": operator})
    assert type(MODELS.build(config.model.fusion_layer).operator).__name__ == operator


def test_config_without_a_checkout_says_which_file_it_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("MMDET3D", (tmp_path / "nowhere").as_posix())
    (path,) = FOLDER.glob("*.py")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Config.fromfile(path, import_custom_modules=False)

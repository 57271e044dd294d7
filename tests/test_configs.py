"""Every config loads by its name and its model builds."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from gemini_det3d.apis.config import ConfigError, config_root, find_config

ROOT = Path(__file__).resolve().parent.parent
# projects/BEVFusion inherits from an mmdet3d checkout: tests/test_bevfusion_project.py
CONFIGS = sorted(
    path
    for folder in (config_root(), ROOT / "projects")
    for path in folder.rglob("*.py")
    if not {"_base_", "BEVFusion"} & set(path.parts)
)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_config_loads_and_its_model_builds(path):
    from mmdet3d.registry import MODELS

    config = Config.fromfile(path)
    init_default_scope(config.get("default_scope", "mmdet3d"))
    assert sum(p.numel() for p in MODELS.build(config.model).parameters()) > 0


@pytest.mark.parametrize(
    "path", [p for p in CONFIGS if config_root() in p.parents], ids=lambda p: p.stem
)
def test_config_is_found_by_its_bare_name(path):
    assert find_config(path.stem).stem == path.stem


def test_find_config_lists_what_there_is():
    with pytest.raises(ConfigError, match="mvxnet_gemini-point"):
        find_config("no_such_config")

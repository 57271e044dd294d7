"""Configs in the guide, for data and detectors of one's own, read, and their models build."""

from __future__ import annotations

import re

import pytest

import gemini_det3d.plugin  # noqa: F401
from docs import FOLDER
from gemini_det3d.apis.config import config_root, read_config
from gemini_det3d.apis.config_names import check_names
from gemini_det3d.apis.script_options import check_imports, runner_of
from gemini_det3d.apis.trained_model import build_model
from gemini_det3d.engine.grid_checks import check_anchors

FILES = {
    "own_detector": ["my_mvxnet.py", "my_twins.py", "my_classes.py"],
    "indoor": ["my_votenet.py"],
    "segmentation": ["my_seg.py"],
    "translation": ["my_translation.py"],
}


def write_configs(page, folder):
    """Blocks that begin with the name of a file, beside each other; our own bases by their path."""
    text = (FOLDER / "guide" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n# (my_\w+\.py)[^\n]*\n(.*?)^```", text, re.DOTALL | re.M)
    for name, block in blocks:
        for base in re.findall(r'^_base_ = "([\w.-]+\.py)"', block, re.MULTILINE):
            found = next(config_root().rglob(base), folder / base)
            block = block.replace(f'"{base}"', f'"{found.as_posix()}"')
        (folder / name).write_text(block)


@pytest.mark.parametrize("page, name", [(p, n) for p, names in FILES.items() for n in names])
def test_config_of_the_guide_reads_and_its_model_builds(tmp_path, page, name):
    pytest.importorskip("spconv")
    write_configs(page, tmp_path)
    config = read_config(tmp_path / name)
    check_imports(config)
    check_names(config)
    assert runner_of(config) == []
    check_anchors(build_model(config))

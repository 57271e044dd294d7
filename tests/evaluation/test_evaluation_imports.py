"""The package stays light until something is evaluated."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["gemini_det3d.evaluation", "gemini_det3d.apis.kitti.evaluate", "gemini_det3d.formats"],
)
def test_importing_needs_neither_numba_nor_mmdet3d(module):
    heavy = "{'numba', 'mmdet3d', 'mmengine', 'mmcv'}"
    code = f"import sys, {module}; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

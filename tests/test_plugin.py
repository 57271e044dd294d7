"""The plug-in registers on demand, twice without harm, and never by being installed."""

from __future__ import annotations

import subprocess
import sys


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_pulls_in_nothing():
    code = (
        "import sys, gemini_det3d, gemini_det3d.cli; print({'torch', 'mmdet3d'} & set(sys.modules))"
    )
    assert python(code) == "set()"


def test_importing_the_operator_pulls_in_no_openmmlab():
    code = (
        "import sys, gemini_det3d.fusion, gemini_det3d.geometry; "
        "print([m for m in sys.modules if m.split('.')[0] in ('mmcv', 'mmengine', 'mmdet3d')])"
    )
    assert python(code) == "[]"


def test_plugin_registers_its_names_and_survives_a_second_import():
    code = """
import importlib, sys, warnings
warnings.simplefilter("ignore")
import gemini_det3d.plugin
from mmdet3d.registry import MODELS
for name in [m for m in sys.modules if m.startswith("gemini_det3d")]:
    del sys.modules[name]
importlib.import_module("gemini_det3d.plugin")
print(all(MODELS.get(n) for n in ("GeminiFusion", "SumFusion", "ConcatFusion", "PointFusionNeck",
    "GeminiDynamicVFE", "GeminiSparseEncoder", "GeminiMVXNet")))
"""
    assert python(code).endswith("True")


def test_plugin_leaves_mmdet3d_classes_as_they_are():
    code = """
import warnings
warnings.simplefilter("ignore")
from mmdet3d.registry import MODELS, METRICS
names = ("PointFusion", "DynamicVFE", "SparseEncoder", "DynamicMVXFasterRCNN")
before = [MODELS.get(n) for n in names] + [METRICS.get("KittiMetric")]
import gemini_det3d.plugin
print(before == [MODELS.get(n) for n in names] + [METRICS.get("KittiMetric")])
"""
    assert python(code).endswith("True")

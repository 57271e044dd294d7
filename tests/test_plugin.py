"""The plug-in registers on demand, twice without harm, and never by being installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from programs import run_python, run_warm

HERE = Path(__file__).parent


def python(code: str, **environment: str) -> str:
    return run_warm("-c", code, cwd=HERE, **environment).strip()


def test_importing_the_package_pulls_in_nothing():
    code = (
        "import sys, gemini_det3d, gemini_det3d.cli; print({'torch', 'mmdet3d'} & set(sys.modules))"
    )
    assert run_python("-c", code, cwd=HERE).strip() == "set()"


def test_importing_the_operator_pulls_in_no_openmmlab():
    code = (
        "import sys, gemini_det3d.fusion, gemini_det3d.geometry; "
        "print([m for m in sys.modules if m.split('.')[0] in ('mmcv', 'mmengine', 'mmdet3d')])"
    )
    assert run_python("-c", code, cwd=HERE).strip() == "[]"


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
    assert "True" in run_python("-c", code, cwd=HERE).splitlines()


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


def test_plugin_replaces_no_class_that_another_plugin_has_registered():
    code = """
import warnings
warnings.simplefilter("ignore")
from mmdet3d.registry import MODELS
@MODELS.register_module()
class SumFusion:
    pass
try:
    import gemini_det3d.plugin
except KeyError as error:
    print(MODELS.get("SumFusion") is SumFusion, "__main__.SumFusion" in str(error),
          "gemini_det3d.fusion" in str(error))
"""
    assert python(code) == "True True True"


@pytest.mark.skipif(
    not hasattr(torch.serialization, "add_safe_globals"),
    reason="PyTorch before 2.4 has no list of classes that it may load",
)
def test_plugin_alone_lets_torch_load_what_mmengine_saves(tmp_path):
    code = f"""
import warnings
warnings.simplefilter("ignore")
import torch
from mmengine.logging import HistoryBuffer
torch.save(dict(loss=HistoryBuffer([1.0], [1])), {str(tmp_path / "epoch_1.pth")!r})
import gemini_det3d.plugin
print(torch.load({str(tmp_path / "epoch_1.pth")!r}, weights_only=True)["loss"].mean())
"""
    assert python(code).endswith("1.0")


def test_plugin_joins_processes_only_when_torchrun_started_them():
    code = """
import warnings
warnings.simplefilter("ignore")
import gemini_det3d.plugin, torch
print(torch.distributed.is_initialized())
"""
    by_torchrun = dict(RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    assert python(code, CUDA_VISIBLE_DEVICES="", **by_torchrun).endswith("True")
    assert python(code).endswith("False")


def test_mmdet3ds_own_sparse_encoder_trains_without_cuda():
    pytest.importorskip("spconv.pytorch")
    code = """
import warnings
warnings.simplefilter("ignore")
import torch
import gemini_det3d.plugin
from mmdet3d.models.middle_encoders import SparseEncoder
net = SparseEncoder(4, [5, 8, 8], base_channels=4, output_channels=4,
                    encoder_channels=((4,), (4,)), encoder_paddings=((1,), (1,)))
cells = torch.nonzero(torch.rand(1, 5, 8, 8) < 0.5).int()
features = torch.rand(len(cells), 4, requires_grad=True)
net(features, cells, 1).sum().backward()
print(bool(features.grad.isfinite().all()))
"""
    assert "True" in python(code, CUDA_VISIBLE_DEVICES="").splitlines()

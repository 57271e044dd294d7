"""The two forms of an op, and mmcv's own Python on top of our module wherever that is not mmcv's.

Both run on CPU tensors: the loops that CPU tensors take, and what CUDA tensors take.
"""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from gemini_det3d.ops.mmcv_ext import _ext, device


@pytest.fixture(params=["loops", "torch"])
def form(request, monkeypatch) -> str:
    """The test runs once with each form."""
    if request.param == "torch":
        monkeypatch.setattr(device, "takes_torch", lambda tensor: True)
    return request.param


@pytest.fixture
def ops(monkeypatch) -> ModuleType:
    """``mmcv.ops`` with our module under it, whether mmcv has a compiled one or not."""
    import mmcv.ops

    for name, module in list(sys.modules.items()):
        if name.startswith("mmcv.ops.") and hasattr(module, "ext_module"):
            monkeypatch.setattr(module, "ext_module", _ext)
    return mmcv.ops

"""The two forms of an op: loops on the CPU, and what CUDA tensors take, run on CPU tensors."""

from __future__ import annotations

import pytest

from gemini_det3d.ops.mmcv_ext import device


@pytest.fixture(params=["loops", "torch"])
def form(request, monkeypatch) -> str:
    """The test runs once with each form."""
    if request.param == "torch":
        monkeypatch.setattr(device, "takes_torch", lambda tensor: True)
    return request.param

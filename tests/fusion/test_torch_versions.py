"""The operator under PyTorch versions that name things differently, as far as one can play them."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.kernels.torch_versions import autocast_dtype


@pytest.fixture(params=["this", "before 2.7", "before 2.4"])
def version(request, monkeypatch):
    if request.param != "this":
        monkeypatch.delattr(torch.compiler, "is_exporting")
    if request.param == "before 2.4":
        monkeypatch.delattr(torch, "get_autocast_dtype")
    return request.param


def test_operator_runs(version, make):
    streams = [make(300, 16, dtype=torch.float32) for _ in range(2)]
    operator = GeminiFusion(16)
    wanted = GeminiFusion.from_released(operator.to_released(), backend="plain")(*streams)
    assert_close(operator(*streams), wanted)


def test_autocast_is_seen(version):
    assert autocast_dtype("cpu") is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert autocast_dtype("cpu") == torch.bfloat16

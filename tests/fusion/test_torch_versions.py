"""The operator under PyTorch versions that name things differently, as far as one can play them."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.kernels import torch_versions
from gemini_det3d.fusion.kernels.torch_versions import autocast_dtype, has_triton


def test_operator_runs_where_exporting_cannot_be_asked_for(make, monkeypatch):
    streams = [make(300, 16, dtype=torch.float32) for _ in range(2)]
    operator = GeminiFusion(16)
    wanted = GeminiFusion.from_released(operator.to_released(), backend="plain")(*streams)
    monkeypatch.delattr(torch.compiler, "is_exporting", raising=False)  # before PyTorch 2.7
    assert_close(operator(*streams), wanted)


@pytest.mark.parametrize("name", ["get_autocast_dtype", None])
def test_autocast_is_seen_under_either_name(monkeypatch, name):
    with torch.autocast("cpu", dtype=torch.bfloat16), monkeypatch.context() as patch:
        if name:
            patch.delattr(torch, name, raising=False)  # before PyTorch 2.4
        assert autocast_dtype("cpu") == torch.bfloat16
        assert autocast_dtype("cuda") is None
    assert autocast_dtype("cpu") is None


@pytest.mark.parametrize(
    ("found", "is_enough"),
    [({}, False), ({"triton": "3.1.0"}, False), ({"triton": "3.2.0"}, True),
     ({"pytorch-triton": "3.10.0+git9844da95"}, True)],
)  # fmt: skip
def test_triton_counts_from_the_version_that_runs_the_kernels(monkeypatch, found, is_enough):
    def version(name: str) -> str:
        if name not in found:
            raise torch_versions.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(torch_versions, "version", version)
    assert has_triton() is is_enough

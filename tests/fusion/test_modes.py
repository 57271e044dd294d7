"""The operator in the ways that PyTorch runs modules: memory formats, compiled packages."""

from __future__ import annotations

from shutil import which

import pytest
import torch
from reference import random_released
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion

DIM, HEADS = 16, 4
BACKENDS = ("auto", "plain", "compact", "traced", "blockwise")


class OnMaps(torch.nn.Module):
    """The operator on maps (B, C, H, W)."""

    def __init__(self, backend: str = "auto") -> None:
        super().__init__()
        operator = GeminiFusion.from_released(random_released(DIM), HEADS, backend=backend)
        self.operator = operator.float()

    def forward(self, first, second, valid=None):
        fused = self.operator(first.permute(0, 2, 3, 1), second.permute(0, 2, 3, 1), valid)
        return tuple(stream.permute(0, 3, 1, 2) for stream in fused)


@pytest.fixture
def maps(make):
    def draw(batch, height, width, grad=False):
        shape = (batch, DIM, height, width)
        return [make(*shape, dtype=torch.float32, grad=grad) for _ in range(2)]

    return draw


def values_and_gradients(module, inputs, valid):
    fused = module(*inputs, valid)
    tensors = [*inputs, *module.parameters()]
    return [*fused, *torch.autograd.grad(sum(f.square().sum() for f in fused), tensors)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("is_masked", [False, True])
def test_channels_last_maps_give_the_same_and_stay_channels_last(maps, backend, is_masked):
    module, inputs = OnMaps(backend), maps(2, 5, 7, grad=True)
    valid = torch.arange(70).reshape(2, 5, 7) % 3 > 0 if is_masked else None
    wanted = values_and_gradients(module, inputs, valid)
    last = [i.detach().to(memory_format=torch.channels_last).requires_grad_() for i in inputs]
    found = values_and_gradients(module, last, valid)
    assert_close(found[:2], wanted[:2], rtol=0, atol=1e-5)
    assert_close(found[2:], wanted[2:], rtol=1e-4, atol=1e-4)
    assert all(f.is_contiguous(memory_format=torch.channels_last) for f in found[:2])


def test_module_in_channels_last_is_the_same_module(maps):
    module, inputs = OnMaps(), maps(2, 5, 7)
    wanted = module(*inputs)
    assert_close(module.to(memory_format=torch.channels_last)(*inputs), wanted, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.skipif(which("g++") is None, reason="no C++ compiler for TorchInductor")
def test_compiled_package_gives_the_same_for_any_number_of_maps(maps, tmp_path):
    inductor = pytest.importorskip("torch._inductor")
    if not hasattr(inductor, "aoti_compile_and_package"):
        pytest.skip("this PyTorch writes no packages")
    module, path, batch = OnMaps().eval(), tmp_path / "fusion.pt2", torch.export.Dim("batch")
    valid = torch.arange(70).reshape(2, 5, 7) % 3 > 0
    program = torch.export.export(module, (*maps(2, 5, 7), valid), dynamic_shapes=[{0: batch}] * 3)
    inductor.aoti_compile_and_package(program, package_path=str(path))
    run = inductor.aoti_load_package(str(path))
    for count in (1, 2, 11):
        inputs = (*maps(count, 5, 7), torch.arange(count * 35).reshape(count, 5, 7) % 4 > 0)
        assert_close(tuple(run(*inputs)), module(*inputs), rtol=0, atol=1e-5)

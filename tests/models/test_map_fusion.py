"""Two maps in, one out: each cell reads its twin, and what is not real is not read."""

from __future__ import annotations

import math

import pytest
import torch
from mmdet3d.registry import MODELS

from gemini_det3d.models import OPERATORS, MapFusionNeck
from gemini_det3d.models.operators import build_operator

NAMES = [kind.__name__ for kind in OPERATORS]


def neck(operator="GeminiFusion", in_channels=(6, 10), out_channels=10, **options):
    config = dict(type=operator, num_heads=2)
    return MODELS.build(
        dict(
            type="MapFusionNeck",
            in_channels=list(in_channels),
            out_channels=out_channels,
            operator=config,
            **options,
        )
    ).double()


def maps(channels=(6, 10), batch=3, grid=(5, 7)):
    return [torch.randn(batch, c, *grid, dtype=torch.float64, requires_grad=True) for c in channels]


def masks(batch=3, grid=(5, 7)):
    return torch.tensor([True, False, True])[:batch], torch.rand(batch, *grid) > 0.4


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_fuses_and_every_parameter_gets_a_gradient(name):
    model = neck(name, (6, 8), 10)
    fused = model(maps((6, 8)))
    assert fused.shape == (3, 10, 5, 7)
    auxiliary = sum(model.operator.auxiliary_losses().values())
    (fused.square().sum() + auxiliary).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_real_is_not_read_nan_included(name):
    model, exists = neck(name), masks()
    inputs = maps()
    clean = model(inputs, exists).detach()
    with torch.no_grad():
        inputs[0][1] = math.nan
        inputs[1].transpose(0, 1)[:, ~exists[1]] = math.nan
    dirty = model(inputs, exists)
    torch.testing.assert_close(dirty, clean, rtol=0, atol=0)
    dirty.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_masks_change_the_answer():
    model, inputs = neck(), maps()
    assert not torch.equal(model(inputs), model(inputs, masks()))


@pytest.mark.parametrize("name", NAMES)
def test_where_one_map_is_real_it_stays_as_it_is(name):
    model, (first, second) = neck(name, (10, 10)), maps((10, 10))
    everywhere, nowhere = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)
    torch.testing.assert_close(model([first, second], [everywhere, nowhere]), first)
    torch.testing.assert_close(model([first, second], [nowhere, everywhere]), second)
    assert not model([first, second], [nowhere, nowhere]).any()


def test_cells_are_fused_as_the_operator_fuses_their_tokens():
    model, (first, second) = neck(in_channels=(10, 10)), maps((10, 10))
    expected = model.operator(first[2, :, 4, 1], second[2, :, 4, 1])
    torch.testing.assert_close(
        model([first, second])[2, :, 4, 1], model.blend(*(e[None] for e in expected))[0]
    )


@pytest.mark.parametrize("name", NAMES)
def test_samples_do_not_read_each_other(name):
    model, inputs = neck(name).eval(), maps()
    alone = model([m[1:2] for m in inputs])
    torch.testing.assert_close(model(inputs)[1:2], alone)


def test_both_maps_are_returned_on_request_and_are_zero_where_not_real():
    model, exists = neck(returns="both"), masks()
    first, second = model(maps(), exists)
    assert first.shape == second.shape == (3, 10, 5, 7)
    assert not first[1].any() and first[0].any()
    assert not second.transpose(0, 1)[:, ~exists[1]].any()
    assert not hasattr(model, "blend")


def test_maps_of_equal_width_are_not_projected():
    assert sum(p.numel() for p in neck("SumFusion", (10, 10)).parameters()) == 2


def test_conv_fuser_arguments_give_conv_fuser_shapes():
    model = MapFusionNeck(in_channels=[80, 256], out_channels=256)
    fused = model([torch.randn(1, 80, 3, 5), torch.randn(1, 256, 3, 5)])
    assert fused.shape == (1, 256, 3, 5)


def test_empty_batch_passes():
    assert neck()(maps(batch=0)).shape == (0, 10, 5, 7)


@pytest.mark.parametrize(
    "arguments, fault",
    [
        (dict(in_channels=[80], out_channels=8), "in_channels"),
        (dict(in_channels=80, out_channels=8), "in_channels"),
        (dict(in_channels=[8, 8], out_channels=8, returns="all"), "returns"),
        (dict(in_channels=[8, 8], out_channels=9), "num_heads"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, fault):
    with pytest.raises(ValueError, match=fault):
        MapFusionNeck(**arguments)


def test_maps_that_do_not_fit_are_refused():
    model, (first, second) = neck(), maps()
    for inputs, fault in (
        ([first], "two maps"),
        ([second, first], "in_channels"),
        ([first, second[..., :6]], "one grid"),
    ):
        with pytest.raises(ValueError, match=fault):
            model(inputs)
    with pytest.raises(ValueError, match="mask"):
        model([first, second], [torch.ones(3), None])


@pytest.mark.parametrize("number", [0, 1, 3])
def test_masks_of_another_number_of_maps_are_refused(number):
    with pytest.raises(ValueError, match=f"exists must be of two maps, got {number}"):
        neck()(maps(), [torch.ones(3, dtype=torch.bool)] * number)


def test_masks_can_be_one_tensor():
    model, inputs, (first, _) = neck(), maps(), masks()
    stacked = torch.stack([first, ~first])
    assert torch.equal(model(inputs, stacked), model(inputs, [first, ~first]))


def test_operator_defaults_to_gemini_fusion():
    model = MapFusionNeck([8, 8], 8)
    assert type(model.operator) is type(build_operator(None, 8))


def test_what_is_no_map_is_named():
    first, second = maps()
    with pytest.raises(TypeError, match=r"inputs\[1\] must be a torch\.Tensor, got ndarray"):
        neck()([first, second.detach().numpy()])
    with pytest.raises(TypeError, match=r"inputs\[0\] must be a torch\.Tensor, got None"):
        neck()([None, second])
    with pytest.raises(TypeError, match=r"exists\[0\] must be a torch\.Tensor, got list"):
        neck()([first, second], [[True] * 3, None])

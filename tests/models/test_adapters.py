"""Every registered operator in every adapter."""

from __future__ import annotations

import copy

import pytest
import torch
from adapters import ADAPTERS
from mmdet3d.registry import MODELS

from gemini_det3d.fusion import FusionOperator
from gemini_det3d.models import OPERATORS, auxiliary_losses

# What the registry holds, so that a new operator is tested without being named here.
NAMES = sorted(
    name
    for name, kind in MODELS.module_dict.items()
    if isinstance(kind, type) and issubclass(kind, FusionOperator)
)
DEAD_CAMERA = dict(camera=[False], lidar=True)

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS)


@pytest.fixture(params=NAMES)
def operator(request):
    return request.param


def outputs(result) -> list:
    """Floating tensors of an adapter's output."""
    result = result if isinstance(result, (tuple, list)) else [result]
    return [t for t in result if t.is_floating_point()]


def metas_of(meta, first=None):
    return [{**copy.deepcopy(meta), "sensor_mask": first} if first else meta, meta]


def build(adapter, operator):
    torch.manual_seed(1)
    module = ADAPTERS[adapter][0](operator)
    return module


def inputs(adapter, metas, **options):
    torch.manual_seed(2)
    return ADAPTERS[adapter][1](metas, **options)


def test_registry_holds_all_six_operators(adapter):
    assert NAMES == sorted(o.__name__ for o in OPERATORS) and len(NAMES) == 6


@pytest.mark.parametrize("is_empty", [False, True], ids=["full", "empty"])
def test_adapter_gives_every_parameter_a_gradient(adapter, operator, meta, is_empty):
    module = build(adapter, operator).train()
    result = outputs(module(*inputs(adapter, metas_of(meta), is_empty=is_empty)))
    loss = sum((r * torch.randn_like(r)).sum() for r in result)
    (loss + sum(auxiliary_losses(module).values())).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if not is_empty and "operator" in name:
            assert parameter.grad.count_nonzero() > 0, name


def test_adapter_answers_to_the_camera(adapter, operator, meta):
    module = build(adapter, operator).eval()
    seen = outputs(module(*inputs(adapter, metas_of(meta))))
    other = outputs(module(*inputs(adapter, metas_of(meta), image=3.0)))
    assert any(not torch.equal(a, b) for a, b in zip(seen, other))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_adapter_reads_nothing_of_a_missing_camera(adapter, operator, meta, mode):
    module = getattr(build(adapter, operator), mode)()
    metas = metas_of(meta, DEAD_CAMERA)
    state = copy.deepcopy(module.state_dict())  # batch statistics move in training
    torch.manual_seed(3)
    before = outputs(module(*inputs(adapter, metas)))
    module.load_state_dict(state)
    torch.manual_seed(3)
    after = outputs(module(*inputs(adapter, metas, image=torch.nan)))
    assert all(b.isfinite().all() and torch.equal(a, b) for a, b in zip(before, after))


def test_adapter_keeps_samples_apart(adapter, operator, meta):
    module = build(adapter, operator).eval()
    before = outputs(module(*inputs(adapter, metas_of(meta))))[0]
    after = outputs(module(*inputs(adapter, metas_of(meta), image=3.0)))[0]
    is_changed = (before != after).flatten(1).any(1)
    last_quarter = len(is_changed) * 3 // 4  # belongs to the second sample
    assert is_changed[:last_quarter].any() and not is_changed[last_quarter:].any()

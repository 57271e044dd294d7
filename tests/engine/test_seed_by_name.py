"""Initial weights by name: variants share what they share, and nothing else changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import HOOKS, MODELS, init_default_scope
from torch import nn

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import find_config
from gemini_det3d.engine.seed_by_name import _build, named_start

CONFIG = "bev_gemini-map_r18_1xb2-toy_look-alikes-3class"


class Small(BaseModule):
    """A layer, an operator with or without parameters, a layer; parts that draw in their ways."""

    def __init__(self, with_more: bool) -> None:
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.operator = nn.Linear(5, 5) if with_more else nn.Identity()
        self.attention = nn.MultiheadAttention(8, 2)
        self.given = nn.Parameter(torch.randn(7))
        self.last = nn.Linear(5, 2)

    def init_weights(self) -> None:
        nn.init.trunc_normal_(self.last.weight, std=0.02)


def small(with_more):
    model = Small(with_more)
    model.init_weights()
    return model


def shared(one, other):
    """Names that both have with the same shape, and whether their values agree."""
    first, second = (dict(m.named_parameters()) for m in (one, other))
    return {n: torch.equal(p, second[n]) for n, p in first.items()
            if n in second and p.shape == second[n].shape}  # fmt: skip


def test_layers_after_the_operator_start_alike_only_by_name():
    def plain(with_more):
        torch.manual_seed(3)
        return small(with_more)

    ordinary = shared(plain(False), plain(True))
    assert ordinary["first.weight"] and not ordinary["last.weight"]
    assert not ordinary["attention.in_proj_weight"] and not ordinary["given"]
    by_name = shared(named_start(lambda: small(False), 3), named_start(lambda: small(True), 3))
    assert all(by_name.values()) and len(by_name) == len(list(small(False).parameters()))


def test_seed_decides_and_names_differ():
    one, again, other = (named_start(lambda: small(True), seed) for seed in (1, 1, 2))
    assert all(shared(one, again).values())
    drawn = {n for n, same in shared(one, other).items() if not same}
    assert drawn >= {"first.weight", "first.bias", "given", "last.weight", "operator.weight"}
    square = named_start(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), 1)
    assert not torch.equal(square[0].weight, square[1].weight)


def test_distributions_stay():
    weight = named_start(lambda: nn.Linear(300, 200), 0).weight.detach()
    bound = 300**-0.5
    assert weight.abs().max() <= bound and weight.mean().abs() < 0.02 * bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.02)  # of a uniform one


def test_detectors_that_differ_in_the_operator_share_every_other_start():
    config = Config.fromfile(find_config(CONFIG))
    init_default_scope("mmdet3d")
    models = []
    for kind in ("SumFusion", "GeminiFusion"):
        changed = config.copy()
        changed.merge_from_dict({"model.pts_fusion_layer.operator.type": kind})
        models.append(named_start(lambda c=changed: _build(c.model), 4))
    same = shared(*models)
    differing = [name for name, is_same in same.items() if not is_same]
    assert len(same) > 50 and not differing
    assert len(list(models[1].parameters())) > len(same)  # the operator's own


def test_hook_puts_the_named_start_where_the_runner_asks_for_weights():
    MODELS.register_module("PlainLinear", module=nn.Linear, force=True)
    sizes = dict(in_features=3, out_features=3)
    model = nn.Linear(**sizes)
    runner = SimpleNamespace(
        model=model, seed=2, cfg=SimpleNamespace(model=dict(type="PlainLinear", **sizes))
    )
    before = model.weight.clone()
    HOOKS.build(dict(type="SeedByNameHook")).before_run(runner)
    assert torch.equal(before, model.weight)  # a test asks for none
    model.init_weights()
    assert torch.equal(model.weight, named_start(lambda: nn.Linear(3, 3), 2).weight)

"""One optimiser per part of a model."""

from __future__ import annotations

import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

import gemini_det3d.engine.module_optimizers  # noqa: F401


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 5)


def build(**options):
    config = dict(type="OptimWrapper", constructor="ModuleOptimWrapperConstructor",
                  optimizer=dict(type="Adam", lr=0.1, betas=(0.5, 0.9)))  # fmt: skip
    return build_optim_wrapper(Pair(), {**config, **options})


def test_each_part_has_an_optimizer_for_its_parameters_alone():
    wrappers = build(modules=["first", "second"])
    counts = {name: sum(p.numel() for g in each.param_groups for p in g["params"])
              for name, each in wrappers.items()}  # fmt: skip
    assert counts == {"first": 9, "second": 20}


def test_what_differs_for_a_part_is_laid_over_the_rest():
    wrappers = build(modules=dict(first={}, second=dict(optimizer=dict(lr=0.2))))
    assert wrappers.get_lr() == {"first.lr": [0.1], "second.lr": [0.2]}
    assert wrappers["second"].param_groups[0]["betas"] == (0.5, 0.9)


def test_settings_for_parameters_know_them_by_their_names_in_the_model():
    keys = {"first.weight": dict(lr_mult=0.1), "second": dict(lr_mult=0.5)}
    wrappers = build(modules=["first", "second"], paramwise_cfg=dict(custom_keys=keys))
    rates = {name: [g["lr"] for g in each.param_groups if g.get("params")]
             for name, each in wrappers.items()}  # fmt: skip
    assert rates == {"first": pytest.approx([0.01, 0.1]), "second": pytest.approx([0.05, 0.05])}


def test_the_callers_config_is_left_alone():
    modules = dict(first={}, second=dict(optimizer=dict(lr=0.2)))
    build(modules=modules)
    assert modules == dict(first={}, second=dict(optimizer=dict(lr=0.2)))


def test_a_part_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="'third'; Pair has no such module"):
        build(modules=["first", "third"])
    with pytest.raises(ValueError, match="modules must name"):
        build()

"""Which parameters are decayed, in the recipe that spares biases and norms."""

from __future__ import annotations

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import find_config
from gemini_det3d.engine import flat_decay
from gemini_det3d.engine.flat_decay import spared_parameters
from gemini_det3d.fusion import GeminiFusion, GeminiWaysFusion


@pytest.mark.parametrize(
    "name",
    ["mit-b2_8xb1-200e_deliver-25class", "mit-b2_8xb1-200e_deliver-rgb-lidar"],
)  # fmt: skip
def test_every_bias_and_norm_of_the_deliver_recipe_is_spared(name):
    config = Config.fromfile(find_config(f"segformer_gemini-pixel_{name}"))
    init_default_scope("mmdet3d")
    with torch.device("meta"):
        model = MODELS.build(config.model)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    decay = {id(g["params"][0]): g["weight_decay"] for g in wrapper.optimizer.param_groups}
    rate = {id(g["params"][0]): g["lr"] for g in wrapper.optimizer.param_groups}
    base = config.optim_wrapper.optimizer
    packed = 0
    for path, parameter in model.named_parameters():
        is_bias = path.rsplit(".", 1)[-1].endswith("bias")
        expected = 0.0 if is_bias or parameter.ndim <= 1 else base.weight_decay
        assert decay[id(parameter)] == expected, path
        packed += is_bias and parameter.ndim == 2
        wanted = base.lr * (10 if path.startswith("decode_head") else 1)
        assert rate[id(parameter)] == pytest.approx(wanted), path
    assert packed == 2 * sum(isinstance(m, GeminiFusion) for m in model.modules()) > 0


@pytest.mark.parametrize("operator", [GeminiFusion(8, 2), GeminiWaysFusion(8, 3, 2)])
def test_packed_biases_of_every_gemini_operator_are_spared(operator):
    spared = {id(p) for p in spared_parameters(operator)}
    names = {name for name, p in operator.named_parameters() if id(p) in spared}
    assert names == {"in_bias", "out_bias", "relation_in_bias", "relation_out_bias"}


def test_what_is_overruled_is_named_as_the_config_has_it(monkeypatch):
    said = []
    monkeypatch.setattr(flat_decay, "print_log", lambda text, logger: said.append(text))
    options = dict(type="OptimWrapper", constructor="FlatDecayOptimWrapperConstructor",
                   optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.1))  # fmt: skip
    build_optim_wrapper(GeminiFusion(8, 2), options)
    assert len(said) == 1 and said[0].endswith("whatever paramwise_cfg says")


@pytest.mark.parametrize("more", [{}, {"paramwise_cfg": {}}, {"paramwise_cfg": None}])
def test_flat_parameters_are_spared_where_nothing_else_has_rules(more):
    options = dict(type="OptimWrapper", constructor="FlatDecayOptimWrapperConstructor",
                   optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.1), **more)  # fmt: skip
    operator = GeminiFusion(8, 2)
    spared = {id(p) for p in spared_parameters(operator)}
    groups = build_optim_wrapper(operator, options).optimizer.param_groups
    assert len(groups) == len(list(operator.parameters())) > len(spared) > 0
    for group in groups:
        assert group["weight_decay"] == (0 if id(group["params"][0]) in spared else 0.1)


def test_the_operator_names_its_biases_as_timm_asks():
    names = GeminiFusion(8, 2).no_weight_decay()
    assert names == {"in_bias", "out_bias", "relation_in_bias", "relation_out_bias"}
    assert GeminiFusion(8, 2, with_relation=False).no_weight_decay() == {"in_bias", "out_bias"}

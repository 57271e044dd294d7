"""Failing sensors in the training of a detector that votes from points."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import HOOKS
from toys import ROOMS, toy_batch, toy_model

from gemini_det3d.engine.degraded_batch import degrade_sensors


@pytest.mark.parametrize("name", ROOMS)
def test_points_are_disturbed_and_keep_their_number_and_their_sensor(name):
    model = toy_model(name)
    data = model.data_preprocessor(toy_batch(name), True)
    inputs, counts = data["inputs"], [len(points) for points in data["inputs"]["points"]]
    for _ in range(5):
        changed, samples = degrade_sensors(
            inputs, data["data_samples"], 1.0, 1.0, None, needs_points=model.needs_points
        )
        assert [len(points) for points in changed["points"]] == counts
        assert all(sample.metainfo["sensor_mask"]["lidar"] for sample in samples)
    changed, _ = degrade_sensors(inputs, data["data_samples"], 1.0, 0.0, None, needs_points=True)
    assert not torch.equal(changed["points"][0], inputs["points"][0])


@pytest.mark.parametrize("name", ROOMS)
def test_hook_trains_it_even_where_every_sensor_fails(name):
    model = toy_model(name)
    hook = HOOKS.build(dict(type="RobustTrainingHook", chance=1.0, absent=1.0))
    runner = SimpleNamespace(model=model)
    hook.before_train(runner)
    losses = model(**model.data_preprocessor(toy_batch(name), True), mode="loss")
    hook.after_train(runner)
    assert any(key.startswith("degraded_") for key in losses)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_teacher_is_refused_in_one_line(tmp_path):
    model = toy_model(ROOMS[0])
    hook = HOOKS.build(dict(type="RobustTrainingHook", teacher=str(tmp_path / "t.pth")))
    with pytest.raises(ValueError, match="GeminiVoteNet has no maps of class scores; set teacher"):
        hook.before_train(SimpleNamespace(model=model))

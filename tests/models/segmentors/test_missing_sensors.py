"""A segmentor whose sensors are missing."""

from __future__ import annotations

import pytest
import torch

from tests.models.segmentors.small_segmentor import make, prepared


def test_a_missing_sensor_leaves_the_ensemble_to_the_others():
    model = make().eval()
    masks = [dict(rgb=True, depth=False), dict(rgb=True, depth=True)]
    data = prepared(model, masks=masks)
    data["inputs"]["depth"][0] = float("nan")
    found = model(**data)
    torch.testing.assert_close(found["ensemble"][0], found["rgb"][0])
    mean = (found["rgb"][1] + found["depth"][1]) / 2
    torch.testing.assert_close(found["ensemble"][1], mean)


def test_a_missing_sensor_is_not_blamed():
    model = make().train()
    masks = [dict(rgb=True, depth=False)] * 2
    losses = model(**prepared(model, True, masks=masks), mode="loss")
    assert losses["loss_depth"] == 0 and losses["loss_rgb"] > 0


@pytest.mark.parametrize("dead", ["rgb", "depth"])
def test_a_missing_sensor_leaves_no_trace_in_training(dead):
    masks = [dict(rgb=True, depth=True), {"rgb": True, "depth": True, dead: False}]
    grads = []
    for filling in (0.0, 1000.0):
        model = make().train()
        data = prepared(model, True, masks=masks)
        data["inputs"][dead][1] = filling
        sum(model(**data, mode="loss").values()).backward()
        grads.append([p.grad for p in model.parameters()])
    for first, second in zip(*grads):
        assert first.isfinite().all() and first.abs().max() < 100
        torch.testing.assert_close(first, second)


def test_masks_that_say_all_is_there_are_not_sent_to_the_device(monkeypatch):
    model = make().eval()
    seen = []
    forward = model.backbone.forward
    monkeypatch.setattr(model.backbone, "forward", lambda x, e: seen.append(e) or forward(x, e))
    whole = dict(rgb=True, depth=True)
    model(**prepared(model, masks=[whole, whole]), mode="predict")
    model(**prepared(model, masks=[whole, dict(rgb=True, depth=False)]), mode="predict")
    assert seen[0] is None and [e.tolist() for e in seen[1]] == [[True, True], [True, False]]


def test_sensor_mask_that_names_no_sensor_of_the_model_is_an_error():
    model = make().eval()
    with pytest.raises(KeyError, match=r"names \['dpeth'\]; the sensors are \['depth', 'rgb'\]"):
        model(**prepared(model, masks=[dict(dpeth=False)] * 2))


def test_sensor_mask_may_leave_out_what_is_there():
    model = make().eval()
    short, full = (
        model(**prepared(model, masks=[mask] * 2))
        for mask in (dict(depth=False), dict(rgb=True, depth=[False]))
    )
    assert all(torch.equal(short[stream], full[stream]) for stream in full)

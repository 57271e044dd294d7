"""Another length of a training moves the schedules that end with it."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from gemini_det3d.apis.config import find_config, read_changed_config
from gemini_det3d.apis.config_changes import checked_changes
from gemini_det3d.apis.schedule_ends import moved_ends

LOOK_ALIKES = "bev_gemini-map_r18_1xb2-toy_look-alikes-3class"
DELIVER = "segformer_gemini-pixel_mit-b2_8xb1-200e_deliver-25class"
STAGES = "segformer_gemini-pixel_mit-b3_3xb2-300e_nyudv2-40class"


def schedules(name, *changes):
    return read_changed_config(str(find_config(name)), list(changes)).param_scheduler


def test_fall_ends_with_the_training():
    warmup, fall = schedules(LOOK_ALIKES, "train_cfg.max_epochs=5")
    assert (fall.end, fall.T_max) == (5, 5 - fall.begin)
    assert warmup == schedules(LOOK_ALIKES)[0]


def test_schedule_of_one_step_more_keeps_it():
    assert schedules(DELIVER, "train_cfg.max_epochs=20")[1].end == 21


def test_schedule_that_begins_behind_the_end_is_left_alone():
    assert schedules(DELIVER, "train_cfg.max_epochs=3") == schedules(DELIVER)


@pytest.mark.parametrize(
    "given", ["param_scheduler.1.end=9", "param_scheduler.1=None", "param_scheduler=[]"]
)
def test_what_is_said_of_a_schedule_stays(given):
    config = read_changed_config(str(find_config(LOOK_ALIKES)), []).to_dict()
    changes = checked_changes(config, ["train_cfg.max_epochs=5", given])
    assert [c for c in changes if c.startswith("param_scheduler.1.end")] in ([], [given])
    assert given in changes and "train_cfg.max_epochs=5" in changes


def test_schedules_by_iteration_follow_iterations():
    config = {
        "train_cfg": {"max_iters": 90},
        "param_scheduler": {
            "generator": [dict(type="LinearLR", by_epoch=False, begin=0, end=90)],
            "discriminator": dict(type="PolyLR", by_epoch=True, begin=0, end=90),
        },
    }
    expected = ["param_scheduler.generator.0.end=40"]
    assert moved_ends(config, "train_cfg.max_iters", "40") == expected
    assert moved_ends(config, "train_cfg.max_iters", "many") == []
    assert moved_ends(config, "train_cfg.val_interval", "40") == []


def curve(steps, rate):
    """The rate after each of twenty epochs."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    built = [
        PARAM_SCHEDULERS.build({**step, "optimizer": optimizer, "convert_to_iter_based": False})
        for step in steps
    ]
    rates = []
    for _ in range(20):
        optimizer.step()
        for each in built:
            each.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def test_whole_curve_of_nuscenes_follows_the_rate():
    steps = schedules("bev_gemini-map_r50_8xb4-20e_nus-3d")[:2]
    whole = curve(steps, 1e-4)
    assert 9e-4 < max(whole) <= 1e-3
    assert curve(steps, 2e-5) == pytest.approx([rate / 5 for rate in whole])


def test_stages_that_keep_their_lengths_are_told(capsys):
    before = schedules(STAGES)
    assert schedules(STAGES, "train_cfg.max_epochs=30") == before
    assert "param_scheduler.0 keeps its stage_lengths (100, 100, 100)" in capsys.readouterr().err

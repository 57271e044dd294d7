"""Parts named by class, by scope or by path are those named by name."""

from __future__ import annotations

import pytest
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop
from toy import NO_VALIDATION, toy_config, train

from gemini_det3d.engine.config_types import type_name
from gemini_det3d.engine.evaluator_checks import metrics_of
from gemini_det3d.engine.exact import ExactEpochLoop, WholeCheckpointHook
from gemini_det3d.engine.run_checks import check_synced_norms
from gemini_det3d.formats import FormatError

HOOK_FORMS = ["mmengine.CheckpointHook", "mmengine.hooks.CheckpointHook", CheckpointHook]
LOOP_FORMS = ["mmengine.EpochBasedTrainLoop", EpochBasedTrainLoop, ExactEpochLoop]


def one_epoch(folder):
    return toy_config(folder, ema=False, **NO_VALIDATION, **{"train_cfg.max_epochs": 1})


@pytest.mark.parametrize("kind", HOOK_FORMS)
@pytest.mark.parametrize("place", ["default_hooks", "custom_hooks"])
def test_checkpoints_are_whole_whatever_the_hook_is_called(tmp_path, kind, place):
    config = one_epoch(tmp_path)
    hook = dict(type=kind, interval=4, by_epoch=False, max_keep_ckpts=1)
    config.default_hooks.checkpoint = hook if place == "default_hooks" else None
    if place == "custom_hooks":
        config.custom_hooks = [hook]
    runner = train(config)
    (found,) = [each for each in runner.hooks if isinstance(each, CheckpointHook)]
    assert type(found) is WholeCheckpointHook
    assert sorted(path.name for path in tmp_path.glob("*.pth*")) == [
        "iter_6.pth",
        "iter_6.pth.json",
    ]


@pytest.mark.parametrize("kind", LOOP_FORMS)
def test_loop_is_ours_whatever_it_is_called(tmp_path, kind):
    config = one_epoch(tmp_path)
    config.train_cfg = dict(type=kind, max_epochs=1)
    assert type(train(config).train_loop) is ExactEpochLoop


def test_hook_that_is_built_already_is_refused(tmp_path):
    config = one_epoch(tmp_path)
    runner = train(config)
    with pytest.raises(ValueError, match="builds the checkpoint hook from a config"):
        runner.register_hook(CheckpointHook())


def test_checks_know_parts_by_each_of_their_names():
    class NuScenesMetric:
        pass

    for kind in ("NuScenesMetric", "mmdet3d.NuScenesMetric", NuScenesMetric):
        assert [name for name, _ in metrics_of(dict(type=kind))] == ["NuScenesMetric"]
    assert type_name(dict()) == type_name(None) == ""
    leaf = dict(type="A", pipeline=[dict(type="mmdet3d.ModalityDropout", camera=0.2)])
    config = dict(model=dict(), sync_bn="torch", train_dataloader=dict(dataset=leaf))
    with pytest.raises(FormatError, match="ModalityDropout takes"):
        check_synced_norms(config, 2)

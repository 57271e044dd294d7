"""A run that would do something else than was asked ends before its first step."""

from __future__ import annotations

import pytest
from mmcv.transforms import BaseTransform
from mmengine.registry import DATASETS, RUNNERS
from toy import NoisySamples, toy_config, train

from gemini_det3d.engine.checkpoint_loading import CheckedLoadingHook
from gemini_det3d.engine.first_batch import FirstBatchHook
from gemini_det3d.engine.run_checks import RunChecksHook, check_synced_norms, unused_keys
from gemini_det3d.formats import FormatError


@pytest.mark.parametrize("size", [1, 3])
def test_fewer_frames_than_a_batch_are_no_training(tmp_path, size):
    config = toy_config(tmp_path)
    config.train_dataloader.batch_size = 4
    config.train_dataloader.drop_last = True
    config.train_dataloader.dataset.size = size
    with pytest.raises(FormatError, match=f"train_dataloader: {size} frames make no batch of 4"):
        train(config)
    assert not list(tmp_path.glob("*.pth"))


def test_validation_after_no_step_is_refused(tmp_path):
    config = toy_config(tmp_path)
    config.train_cfg.val_interval = 0
    with pytest.raises(FormatError, match=r"train_cfg\.val_interval: is 0, must be 1 or more"):
        train(config)


@pytest.mark.parametrize("two", [False, True])
def test_training_whose_steps_change_nothing_is_refused(tmp_path, two):
    config = toy_config(tmp_path, two=two)
    config.optim_wrapper.clip_grad = dict(max_norm=0)
    with pytest.raises(FormatError, match=r"optim_wrapper\.(\w+\.)?clip_grad: .*are cut to 0"):
        train(config)
    config.optim_wrapper.pop("clip_grad")
    config.optim_wrapper.optimizer.lr = 0.0
    with pytest.raises(FormatError, match="optim_wrapper: every learning rate is 0"):
        train(config)


@pytest.mark.parametrize("two", [False, True])
def test_a_resumed_run_does_not_keep_another_rate_in_silence(tmp_path, two):
    config = toy_config(tmp_path, two=two)
    train(config)
    config.optim_wrapper.optimizer.lr *= 0.5
    with pytest.raises(FormatError, match="learning rate of .*, the config gives .*on_other_rate"):
        train(config, resume=True)
    config.default_hooks.run_checks = dict(on_other_rate="warn")
    config.train_cfg.max_epochs = 4
    assert train(config, resume=True).iter == 24


@pytest.mark.parametrize("two", [False, True])
def test_a_resumed_run_with_another_optimizer_is_refused(tmp_path, two):
    config = toy_config(tmp_path, two=two)
    config.train_cfg.max_epochs = 1
    train(config)
    config.optim_wrapper.optimizer = dict(type="SGD", lr=0.01)
    said = r"iter_6\.pth: is of an optimizer with betas, the config's has momentum"
    with pytest.raises(FormatError, match=said):
        train(config, resume=True)


def test_another_word_is_refused_when_built():
    with pytest.raises(ValueError, match="on_other_rate='ignore'"):
        RunChecksHook("ignore")


def test_synchronised_norms_and_sensors_that_are_taken_away_would_wait_for_ever():
    leaf = dict(type="A", pipeline=[dict(type="Load"), dict(type="ModalityDropout", camera=0.2)])
    config = dict(model=dict(type="Detector"), sync_bn="torch",
                  train_dataloader=dict(dataset=dict(type="Repeat", dataset=leaf)))  # fmt: skip
    with pytest.raises(FormatError, match="sync_bn: norms of 2 processes .* ModalityDropout takes"):
        check_synced_norms(config, 2)
    check_synced_norms(config, 1)
    check_synced_norms({**config, "sync_bn": None}, 2)
    check_synced_norms({**config, "model": dict(decode_head=dict())}, 2)  # calls its head always
    leaf["pipeline"].pop()
    check_synced_norms(config, 2)
    with pytest.raises(FormatError, match="RobustTrainingHook takes"):
        check_synced_norms({**config, "default_hooks": dict(a=dict(type="RobustTrainingHook"))}, 2)


class Picky(BaseTransform):
    """A step that needs what no step before makes."""

    def transform(self, results):
        return results["images"]


@DATASETS.register_module()
class Stepped(NoisySamples):
    """Samples through a pipeline."""

    def __getitem__(self, index):
        return Picky()(super().__getitem__(index))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader"])
def test_a_step_that_does_not_fit_is_named_before_the_first_epoch_ends(tmp_path, loader, workers):
    config = toy_config(tmp_path, workers=workers)
    config[loader].dataset.type = "Stepped"
    said = r"pipeline: Picky cannot use what it is given: KeyError: images \(.*test_run_checks.py:"
    with pytest.raises(FormatError, match=said):
        train(config)
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.parametrize(
    "save_best, said",
    [("accuracy", "save_best: no figure accuracy; there are acc"),
     (["acc", "mIoU"], "save_best: no figure mIoU; there are acc")],
)  # fmt: skip
def test_a_best_figure_that_is_not_evaluated_is_named(tmp_path, save_best, said):
    config = toy_config(tmp_path)
    config.default_hooks.checkpoint.update(save_best=save_best, rule="greater")
    with pytest.raises(FormatError, match=said):
        train(config)


@pytest.mark.parametrize("two", [False, True])
def test_custom_keys_that_no_parameter_has_are_named(tmp_path, two):
    config = toy_config(tmp_path, two=two)
    name = next(iter(train(config).model.state_dict()))
    keys = {name: dict(lr_mult=0.5), "img_backbon": dict(lr_mult=0.1)}
    config.optim_wrapper.paramwise_cfg = dict(custom_keys=keys)
    found = unused_keys(config.optim_wrapper, train(config).model)
    path = "optim_wrapper.paramwise_cfg.custom_keys"
    assert found == [f"{path}: no parameter has 'img_backbon' in its name"]
    log = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert found[0] in log


@pytest.mark.parametrize("hook", [CheckedLoadingHook, FirstBatchHook, RunChecksHook])
def test_checks_are_in_every_run_and_take_their_settings_without_a_type(tmp_path, hook):
    name, setting = {
        CheckedLoadingHook: ("checked_loading", dict(allow_missing=["a"])),
        FirstBatchHook: ("first_batch", dict(coord_type="DEPTH")),
        RunChecksHook: ("run_checks", dict(on_other_rate="warn")),
    }[hook]

    def hooks_with(given):
        config = toy_config(tmp_path)
        config.default_hooks.update(given)
        config.experiment_name = f"{name}_{len(given)}_{given.get(name) is None}"
        return [each for each in RUNNERS.build(config).hooks if type(each) is hook]

    assert len(hooks_with({})) == 1
    (changed,) = hooks_with({name: setting})
    key, value = next(iter(setting.items()))
    assert list(getattr(changed, key)) == list(value)
    assert bool(hooks_with({name: None})) is (hook is RunChecksHook)

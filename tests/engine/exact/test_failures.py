"""What goes wrong in a long training is said in one line, and nothing is lost by it."""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmcv.transforms import BaseTransform
from mmengine.registry import DATASETS, MODELS
from toy import NoisySamples, OnePart, differences, newest, toy_config, train

import gemini_det3d.engine.finite_loss  # noqa: F401
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.launch import with_skip_option
from gemini_det3d.engine.training_errors import TrainingError
from gemini_det3d.formats import FormatError


@DATASETS.register_module()
class PartlyBadSamples(NoisySamples):
    """Some files cannot be read; some samples are not finite; one kills its worker."""

    def __init__(self, bad=(), missing=(), infinite=(), deadly=(), **kwargs):
        super().__init__(**kwargs)
        self.bad, self.missing, self.infinite, self.deadly = bad, missing, infinite, deadly

    def __getitem__(self, index):
        if index in self.bad:
            raise FormatError(f"points/{index}.bin", "holds 7 bytes, no multiple of 16")
        if index in self.missing:
            open(f"/nowhere/{index}.png")
        if index in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        sample = super().__getitem__(index)
        if index in self.infinite:
            sample["inputs"][2] = torch.nan
        return sample


def config_with(folder, workers=0, **faults):
    config = toy_config(folder, workers=workers)
    config.train_dataloader.dataset = dict(type="PartlyBadSamples", **faults)
    return config


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "faults, line",
    [
        ({"bad": [5]}, r"points/5\.bin: holds 7 bytes"),
        ({"missing": [5]}, r"/nowhere/5\.png: cannot be read \(No such file"),
    ],
)
def test_bad_sample_stops_a_training_with_its_file(tmp_path, workers, faults, line):
    with pytest.raises(FormatError, match=line) as error:
        train(config_with(tmp_path, workers, **faults))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_samples_are_replaced_counted_and_reported(tmp_path, workers):
    config = config_with(tmp_path, workers, bad=[5, 6], missing=[9])
    config.on_bad_sample, config.max_bad_samples = "skip", 3
    runner = train(config)
    assert runner.iter == 18  # no batch is left out
    report = json.loads((tmp_path / "bad_samples.json").read_text())
    assert report["bad_samples"] == 3
    assert {s["file"] for s in report["samples"]} == {
        "points/5.bin", "points/6.bin", "/nowhere/9.png"}  # fmt: skip
    assert all(sample["times"] >= 3 for sample in report["samples"])  # once an epoch


def test_training_stops_beyond_so_many_bad_samples(tmp_path):
    config = config_with(tmp_path, bad=list(range(0, 23, 4)))
    config.on_bad_sample, config.max_bad_samples = "skip", 2
    with pytest.raises(TrainingError, match="4 bad samples, more than max_bad_samples=2"):
        train(config)  # two of them in one batch
    assert json.loads((tmp_path / "bad_samples.json").read_text())["bad_samples"] == 4


def test_data_set_of_bad_samples_alone_ends_in_one_line(tmp_path):
    config = config_with(tmp_path, bad=list(range(23)))
    config.on_bad_sample, config.max_bad_samples = "skip", 100
    with pytest.raises(FormatError, match="8 other samples in its place are bad, too"):
        train(config)


class LoadNumbers(BaseTransform):
    """A loader of somebody else's: numpy's words, without the name of the file."""

    def transform(self, results):
        path = results["path"]
        np.fromfile(path, np.uint8)[:7].view(np.float32)
        return results["sample"]


@DATASETS.register_module()
class SamplesOfFiles(NoisySamples):
    """Each sample is read by a pipeline that cannot use file 5."""

    def __init__(self, folder, **kwargs):
        super().__init__(**kwargs)
        self.folder = folder

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if index != 5:
            return sample
        return LoadNumbers()(dict(path=f"{self.folder}/5.bin", sample=sample))


@pytest.mark.parametrize("skip", [False, True])
def test_file_that_a_foreign_loader_fails_at_is_a_bad_sample_with_its_name(tmp_path, skip):
    (tmp_path / "5.bin").write_bytes(bytes(7))
    config = toy_config(tmp_path)
    config.train_dataloader.dataset = dict(type="SamplesOfFiles", folder=str(tmp_path))
    if not skip:
        with pytest.raises(
            FormatError, match=r"5\.bin: LoadNumbers cannot use its content, or .*: Value"
        ):
            train(config)
        return
    config.on_bad_sample = "skip"
    train(config)
    report = json.loads((tmp_path / "bad_samples.json").read_text())
    assert [sample["file"] for sample in report["samples"]] == [f"{tmp_path}/5.bin"]


def test_run_with_skipped_samples_resumes_bit_by_bit(tmp_path, monkeypatch):
    def config(name):
        changed = config_with(tmp_path / name, workers=2, bad=[1, 2, 3])
        changed.on_bad_sample = "skip"
        return changed

    train(config("whole"))
    monkeypatch.setattr("toy.MeanValue.evaluate", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(config("cut"))
    monkeypatch.undo()
    train(config("cut"), resume=True)
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "cut")) == []


def _interrupt(self, size):
    raise KeyboardInterrupt


@pytest.mark.parametrize("key, value", [("on_bad_sample", "ignore"), ("max_bad_samples", -1)])
def test_wrong_word_for_bad_samples_is_refused_with_its_key(tmp_path, key, value):
    config = toy_config(tmp_path)
    config[key] = value
    with pytest.raises(ValueError, match=f"{key}={value!r}"):
        train(config)


def test_skip_bad_changes_the_config_before_other_changes():
    argv = ["c.py", "--skip-bad", "7", "--resume", "--cfg-options", "a=1"]
    assert with_skip_option(argv) == ["c.py", "--resume", "--cfg-options", "on_bad_sample=skip",
                                      "max_bad_samples=7", "a=1"]  # fmt: skip
    with pytest.raises(ConfigError, match="--skip-bad needs a whole number, got 'x'"):
        with_skip_option(["c.py", "--skip-bad", "x"])


def test_data_worker_that_dies_is_one_line(tmp_path):
    with pytest.raises(TrainingError, match=r"train_dataloader: data worker \d+ died") as error:
        train(config_with(tmp_path, workers=2, deadly=[11]))
    assert "\n" not in str(error.value) and "num_workers" in str(error.value)


def test_parameters_that_are_lost_are_no_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match=r"8 parameters are NaN or infinite .*FiniteLossHook"):
        train(config_with(tmp_path, infinite=[5]))
    assert not list(tmp_path.glob("iter_*.pth"))


def with_finite_loss(folder, two=False):
    config = toy_config(folder, two=two, ema=False)
    config.custom_hooks = [dict(type="FiniteLossHook")]
    return config


def test_infinite_input_stops_with_the_sample_that_holds_it(tmp_path):
    config = with_finite_loss(tmp_path)
    config.train_dataloader.dataset = dict(type="PartlyBadSamples", infinite=[14])
    with pytest.raises(TrainingError, match="is nan; first not finite: an input; sample: index 14"):
        train(config)


@MODELS.register_module()
class Together(OnePart):
    """Its processes wait for each other in every forward, as synchronised norms do."""

    def forward(self, *args, **kwargs):
        dist.all_reduce(torch.ones(1))
        return super().forward(*args, **kwargs)


def fail_together(rank, folder):
    """One of two processes, of which one gets the sample that is not finite."""
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    where = dict(init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    dist.init_process_group("gloo", **where, timeout=timedelta(seconds=20))
    config = with_finite_loss(folder)
    config.merge_from_dict(dict(model=dict(type="Together"), launcher="pytorch"))
    config.model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)
    config.train_dataloader.dataset = dict(type="PartlyBadSamples", infinite=[14])
    try:
        train(config)
    except Exception as error:
        Path(folder, f"{rank}.txt").write_text(f"{type(error).__name__}: {error}")
    dist.barrier()
    dist.destroy_process_group()


def test_bad_loss_of_one_process_is_traced_while_the_others_keep_it_company(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME", "lo"))
    torch.multiprocessing.start_processes(fail_together, (str(tmp_path),), 2, start_method="fork")
    said = sorted((tmp_path / f"{rank}.txt").read_text() for rank in (0, 1))
    assert all(line.startswith("TrainingError: the loss of iteration ") for line in said)
    assert said[0].endswith("first not finite: an input; sample: index 14; neither the weights nor "
                            "a checkpoint have taken it in")  # fmt: skip
    assert said[1].endswith("is not finite in another process, which says where it comes from")


@pytest.mark.parametrize("two, part", [(False, "generator"), (True, "discriminator")])
def test_module_that_makes_a_nan_is_named_before_it_reaches_the_weights(tmp_path, two, part):
    config = with_finite_loss(tmp_path, two)
    handles, states = [], []

    def spoil(module, inputs, output):
        if not module.training:
            return output
        spoil.calls += 1
        if spoil.calls >= 5:  # the fifth step, and its repetition
            states.append({k: v.clone() for k, v in model_of["it"].state_dict().items()})
            output = output.clone()
            output[2] = float("nan")
        return output

    spoil.calls, model_of = 0, {}
    import toy

    kind = toy.TwoParts if two else toy.OnePart
    original = kind.__init__

    def init(self):
        original(self)
        model_of["it"] = self
        handles.append(getattr(self, part)[2].register_forward_hook(spoil))

    kind.__init__ = init
    try:
        with pytest.raises(TrainingError, match=rf"iteration 5 .*: module {part}\.2 \(ReLU\)"):
            train(config)
    finally:
        kind.__init__ = original
    weights = [k for k in states[0] if "running" not in k and "num_batches" not in k]
    assert all(torch.equal(states[0][k], model_of["it"].state_dict()[k]) for k in weights)

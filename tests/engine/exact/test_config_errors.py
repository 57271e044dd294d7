"""What a config's author did is one line with the part of the model, and no traceback."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import nn
from toy import OnePart, toy_config, train

from gemini_det3d.engine.config_errors import config_fault
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.device_faults import DeviceError


@MODELS.register_module()
class Misfit(OnePart):
    """Its last layer is of another width than the one before."""

    def __init__(self, width=9, late=False):
        super().__init__()
        if not late:
            self.generator[4] = nn.Linear(width, 1)
        self.late, self.steps = late, 0

    def forward(self, *args, **kwargs):
        self.steps += 1
        if self.late and self.steps > 2:
            raise RuntimeError("something else")
        return super().forward(*args, **kwargs)


def fault_of(folder, run=train, **changes):
    config = toy_config(folder, **changes)
    with pytest.raises(Exception) as caught:
        run(config)
    error = caught.value  # what is built in a training's first moment is told by the runner
    return error.fault if isinstance(error, FormatError) else config_fault(error)


@pytest.mark.parametrize(
    "changes, said",
    [
        (dict(model=dict(type="OnePrat")), "OnePrat is not in the"),
        (dict(model=dict(type="Misfit", widht=3)), "unexpected keyword argument 'widht'"),
        (dict(optim_wrapper=dict(optimizer=dict(type="SGD", betas=(0, 1)))), "argument 'betas'"),
        (dict(optim_wrapper=dict(constructor="ModuleOptimWrapperConstructor", modules=["encoder"])),
         "optim_wrapper.modules names 'encoder'; OnePart has no such module"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_one_line(tmp_path, changes, said):
    fault = fault_of(tmp_path, **changes)
    assert fault.startswith("cannot be built: ") and "\n" not in fault
    assert said in fault


def test_settings_that_contradict_each_other_are_one_line(tmp_path):
    config = toy_config(tmp_path)
    config.val_dataloader = None
    with pytest.raises(ValueError) as caught:
        Runner.from_cfg(config)
    assert "val_dataloader, val_cfg, and val_evaluator should be" in config_fault(caught.value)


def test_part_that_does_not_fit_is_named(tmp_path):
    """By the runner itself: mmdet3d's own tools/train.py tells no faults."""
    said = r"^[^\n]*: model\.generator\.4 does not fit what it is given: RuntimeError: [^\n]*$"
    with pytest.raises(FormatError, match=said):
        train(toy_config(tmp_path, model=dict(type="Misfit")))


@MODELS.register_module()
class EvaluationMisfit(OnePart):
    """Trains, and fails when it answers; the second batch, or the first."""

    def __init__(self, at=1):
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, inputs, index=None, mode="tensor"):
        if mode == "predict":
            self.calls += 1
            if self.calls == self.at:
                raise ValueError("images of 70 x 70")
        return super().forward(inputs, index, mode)


@MODELS.register_module()
class OnABadGpu(OnePart):
    """A GPU fails in its first step, in the words given."""

    words = "", 0

    def forward(self, *args, **kwargs):
        words, at = self.words
        if at == 0:
            raise getattr(torch, "AcceleratorError", RuntimeError)(words)
        raise (torch.cuda.OutOfMemoryError if at == 1 else RuntimeError)(words)


@pytest.mark.parametrize("words, at, advice", [
    ("CUDA error: no kernel image is available\nmore", 0, "CUDA_LAUNCH_BLOCKING=1"),
    ("CUDA out of memory. Tried to allocate 2 GiB", 1, "lower batch_size"),
    ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", 2, "CUDA_LAUNCH_BLOCKING=1"),
    ("NCCL error in: ProcessGroupNCCL.cpp:1", 2, "another process"),
    ("x does not have a deterministic implementation, but you set "
     "'torch.use_deterministic_algorithms(True)'", 2, "randomness.deterministic=False"),
])  # fmt: skip
def test_fault_of_a_gpu_is_not_told_as_one_of_the_config(tmp_path, monkeypatch, words, at, advice):
    monkeypatch.setattr(OnABadGpu, "words", (words, at))
    with pytest.raises(DeviceError) as caught:
        train(toy_config(tmp_path, model=dict(type="OnABadGpu")))
    said = str(caught.value)
    assert words.partition("\n")[0] in said and advice in said and "\n" not in said
    assert words in str(caught.value.__cause__)  # with its frames
    assert config_fault(caught.value) is None


def test_a_model_that_does_not_fit_the_validation_is_told_at_its_first_batch(tmp_path):
    said = "model does not fit what it is given: ValueError: images of 70 x 70"
    with pytest.raises(FormatError, match=said):
        train(toy_config(tmp_path, model=dict(type="EvaluationMisfit")))
    with pytest.raises(ValueError, match="^images of 70 x 70$"):
        train(toy_config(tmp_path, model=dict(type="EvaluationMisfit", at=2)))


@pytest.mark.parametrize("two, name", [(False, "optim_wrapper"), (True, "optim_wrapper.gen")])
def test_an_optimizer_that_does_not_fit_is_named(tmp_path, two, name):
    config = toy_config(tmp_path, two=two)
    config.optim_wrapper.clip_grad = dict(max_nrom=1)
    if two:
        config.optim_wrapper.modules = dict(discriminator=dict(clip_grad=None), generator=dict())
        del config.optim_wrapper["clip_grad"]
        config.optim_wrapper.modules.generator.clip_grad = dict(max_nrom=1)
    with pytest.raises(FormatError, match=rf": {name}\w* does not fit .*argument 'max_nrom'"):
        train(config)


@pytest.mark.parametrize("changes, said", [
    ({"train_cfg.max_epochs": -1}, "train_cfg.max_epochs: is -1, must be 0 or more"),
    (dict(load_from=["a.pth"]), r"load_from: is \['a.pth'\], expected the path of a file"),
])  # fmt: skip
def test_settings_of_other_kinds_are_named(tmp_path, changes, said):
    with pytest.raises(FormatError, match=said):
        train(toy_config(tmp_path, **changes))


def test_errors_of_later_steps_and_of_other_code_keep_their_frames(tmp_path):
    assert fault_of(tmp_path, model=dict(type="Misfit", late=True)) is None
    try:
        raise KeyError("mine")
    except KeyError as error:
        assert config_fault(error) is None

"""The training step: which loss reaches which part, and how often the generator runs."""

from __future__ import annotations

import copy
from math import log

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner.checkpoint import load_state_dict

from gemini_det3d.models.losses import AdversarialLoss
from gemini_det3d.models.translators.translator import stack_targets


def optimizers(model, generator_lr, discriminator_lr, kind="SGD"):
    """By default plain gradient descent: with a rate of 1 the step is the gradient."""
    parts = {"generator": generator_lr, "discriminator": discriminator_lr}
    config = dict(
        type="OptimWrapper",
        constructor="ModuleOptimWrapperConstructor",
        optimizer=dict(type=kind, lr=0.0),
        modules={name: dict(optimizer=dict(lr=lr)) for name, lr in parts.items()},
    )
    return build_optim_wrapper(model, config)


def steps_of(module, before):
    return {n: before[n] - p.detach() for n, p in module.named_parameters()}


def gradients_of(module, losses):
    module.zero_grad()
    sum(losses.values()).backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad
            for n, p in module.named_parameters()}  # fmt: skip


def prepared(model, batch):
    data = model.data_preprocessor(batch, True)
    return data["inputs"], stack_targets(data["data_samples"])


def test_one_step_runs_the_generator_once(make, make_batch):
    model = make()
    calls = []
    model.generator.register_forward_hook(lambda *_: calls.append(1))
    model.train_step(make_batch(), optimizers(model, 0.1, 0.1))
    assert len(calls) == 1


def test_discriminator_learns_from_its_own_losses_alone(make, make_batch):
    model = make()
    start = copy.deepcopy(model)
    before = {n: p.detach().clone() for n, p in model.discriminator.named_parameters()}
    model.train_step(make_batch(), optimizers(model, 0.0, 1.0))
    sources, target = prepared(start, make_batch())
    losses = start.discriminator_losses(sources, start.generator(sources)[0].detach(), target)
    expected = gradients_of(start.discriminator, losses)
    for name, step in steps_of(model.discriminator, before).items():
        torch.testing.assert_close(step, expected[name], rtol=1e-4, atol=1e-6)
    assert all(p.grad is None for p in start.generator.parameters())


def test_generator_learns_from_its_own_losses_alone(make, make_batch):
    model = make()
    start = copy.deepcopy(model)
    before = {n: p.detach().clone() for n, p in model.generator.named_parameters()}
    model.train_step(make_batch(), optimizers(model, 1.0, 0.0))
    sources, target = prepared(start, make_batch())
    losses = start.generator_losses(sources, *start.generator(sources), target)
    expected = gradients_of(start.generator, losses)
    for name, step in steps_of(model.generator, before).items():
        torch.testing.assert_close(step, expected[name], rtol=1e-3, atol=1e-4)


def test_generator_faces_the_discriminator_that_has_just_learned(make, make_batch):
    logs = []
    for rate in (0.0, 0.5):
        model = make()
        logs.append(model.train_step(make_batch(), optimizers(model, 0.0, rate)))
    assert logs[0]["loss_d_fake"] == logs[1]["loss_d_fake"]
    assert logs[0]["loss_g_adversarial"] != logs[1]["loss_g_adversarial"]


def test_discriminator_can_learn_again_after_the_generators_step(make, make_batch):
    model = make()
    model.train_step(make_batch(), optimizers(model, 0.1, 0.1))
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(("num_sources", "num_streams"), [(1, 1), (2, 2), (3, 2)])
def test_losses_are_sums_over_sources_and_streams(make, make_batch, num_sources, num_streams):
    model = make(generator=dict(num_sources=num_sources), l1_weight=7.0)
    for parameter in model.discriminator.judge.parameters():
        parameter.data.zero_()  # logits 0: undecided
    sources, target = prepared(model, make_batch(num_sources=num_sources))
    images = torch.stack([target + 0.1 * (s + 1) for s in range(num_streams)], dim=1)
    of_d = model.discriminator_losses(sources, images, target)
    assert {n: v.item() for n, v in of_d.items()} == {
        name: pytest.approx(num_sources / 2 * log(2)) for name in ("loss_d_real", "loss_d_fake")
    }
    of_g = model.generator_losses(sources, images, target + 0.4, target)
    assert of_g["loss_g_adversarial"].item() == pytest.approx(num_sources * log(2))
    l1 = sum(0.1 * (s + 1) for s in range(num_streams))
    assert of_g["loss_g_l1"].item() == pytest.approx(7 * l1, rel=1e-4)
    assert ("loss_g_l1_ensemble" in of_g) is (num_streams > 1)
    if num_streams > 1:
        assert of_g["loss_g_l1_ensemble"].item() == pytest.approx(7 * 0.4, rel=1e-4)


def test_each_source_is_paired_with_the_image_of_its_stream(make, make_batch):
    model = make(generator=dict(num_sources=3))
    seen = {}
    model.discriminator.register_forward_hook(
        lambda module, pair, out: seen.update(sources=pair[0], images=pair[1])
    )
    sources, target = prepared(model, make_batch(num_sources=3))
    images = torch.stack([torch.full_like(target, 0.25), torch.full_like(target, 0.5)], dim=1)
    model.generator_losses(sources, images, target, target)
    for index, value in enumerate((0.25, 0.5, 0.5)):
        part = slice(3 * index, 3 * index + 3)
        torch.testing.assert_close(seen["sources"][part], sources[:, index])
        assert (seen["images"][part] == value).all()


def test_losses_of_the_operator_join_those_of_the_generator(make, make_batch):
    model = make(generator=dict(operator=dict(type="TokenExchangeFusion")))
    log = model.train_step(make_batch(), optimizers(model, 0.1, 0.1))
    assert log["loss_token_scores"] > 0
    parts = sum(v for n, v in log.items() if n != "loss")
    assert float(log["loss"]) == pytest.approx(float(parts), rel=1e-5)


def test_training_brings_the_images_closer(make, make_batch):
    model = make()
    wrappers = optimizers(model, 0.02, 0.001, "Adam")
    logs = [model.train_step(make_batch(), wrappers)["loss_g_l1"].item() for _ in range(15)]
    assert logs[-1] < 0.9 * logs[0]


def test_bfloat16_gives_finite_losses_in_float32(make, make_batch):
    model = make()
    data = model.data_preprocessor(make_batch(), True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(data["inputs"], data["data_samples"], mode="loss")
    assert {v.dtype for v in losses.values()} == {torch.float32}
    assert all(torch.isfinite(v) for v in losses.values())


def test_mixed_precision_trains_on_cuda(make, make_batch, cuda):
    model = make().to(cuda)
    config = dict(
        type="AmpOptimWrapper", loss_scale="dynamic", constructor="ModuleOptimWrapperConstructor",
        optimizer=dict(type="Adam", lr=1e-3), modules=["generator", "discriminator"],
    )  # fmt: skip
    wrappers = build_optim_wrapper(model, config)
    logs = [model.train_step(make_batch(), wrappers) for _ in range(5)]
    assert all(torch.isfinite(v) for log in logs for v in log.values())
    assert logs[-1]["loss_g_l1"] < logs[0]["loss_g_l1"]


def test_prediction_keeps_the_sample_and_adds_the_images(make, make_batch):
    model = make().eval()
    found = model.val_step(make_batch())
    assert [sample.stem for sample in found] == ["v0", "v1", "v2"]
    assert found[0].translated.shape == (3, 20, 12) and found[0].streams.shape == (2, 3, 20, 12)
    assert found[0].target.dtype == torch.uint8


def test_prediction_needs_no_target_and_training_says_that_it_does(make, make_batch):
    model = make()
    batch = make_batch(with_target=False)
    assert len(model.val_step(batch)) == 3
    with pytest.raises(ValueError, match="no target"):
        model.train_step(batch, optimizers(model, 0.1, 0.1))


def test_preprocessor_scales_bytes_to_one_and_names_sizes_that_differ(make):
    model = make()
    bytes_ = torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1, 1).expand(1, 2, 3, 4, 4)
    prepared_ = model.data_preprocessor({"inputs": list(bytes_), "data_samples": [None]})["inputs"]
    assert prepared_[0, 0].unique().tolist() == [-1] and prepared_[0, 1].unique().tolist() == [1]
    images = [torch.zeros(2, 3, size, 4, dtype=torch.uint8) for size in (4, 8)]
    with pytest.raises(ValueError, match="differ in shape"):
        model.data_preprocessor({"inputs": images, "data_samples": [None, None]})


@pytest.mark.parametrize(
    ("kind", "logit", "real", "fake"),
    [("cross_entropy", 0.0, log(2), log(2)), ("least_squares", 0.25, 0.75**2, 0.25**2)],
)
def test_adversarial_loss_is_what_hand_gives(kind, logit, real, fake):
    logits = torch.full((2, 1, 3, 5), logit)
    loss = AdversarialLoss(kind)
    assert loss(logits, True).item() == pytest.approx(real)
    assert loss(logits, False).item() == pytest.approx(fake)
    with pytest.raises(ValueError, match="hinge"):
        AdversarialLoss("hinge")


@MODEL_WRAPPERS.register_module(force=True)
class Wrapper(torch.nn.Module):
    """Stands in for mmengine's wrapper of a part, which needs several processes."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def test_checkpoint_of_wrapped_parts_has_the_names_of_the_plain_model(make):
    plain, wrapped = make(), make()
    names = list(plain.state_dict())
    wrapped.generator = Wrapper(wrapped.generator)
    wrapped.discriminator = Wrapper(wrapped.discriminator)
    state = wrapped.state_dict()
    assert list(state) == names
    changed = {name: value + 1 for name, value in state.items()}
    load_state_dict(wrapped, changed, strict=True)
    plain.load_state_dict(wrapped.state_dict())
    torch.testing.assert_close(dict(plain.state_dict()), changed)


def test_reliability_that_nothing_would_train_is_refused(make):
    operator = dict(type="GeminiFusion", num_heads=2, reliability=True)
    with pytest.raises(ValueError, match=r"GeminiTranslator: generator: .*reliability=True"):
        make(generator=dict(operator=operator))


def test_inputs_alone_are_prepared(make):
    prepared = make().data_preprocessor(dict(inputs=[torch.zeros(2, 3, 8, 8).byte()]))
    assert prepared["data_samples"] is None and prepared["inputs"].shape == (1, 2, 3, 8, 8)

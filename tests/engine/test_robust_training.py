"""Failing sensors in training: what is drawn, what a step costs the model, what a teacher says."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import HOOKS, init_default_scope
from mmengine.structures import BaseDataElement, InstanceData, PixelData

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import find_config
from gemini_det3d.engine.degraded_batch import (
    STRENGTH_KEY,
    degrade_modalities,
    degrade_sensors,
    disturb_images,
    disturb_points,
    draw_strengths,
)
from gemini_det3d.engine.robust_training import class_logits, divergence
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.models.sensor_metas import corruption_strengths

DETECTOR = "bev_gemini-map_r18_1xb2-toy_look-alikes-3class"
SIZE = (64, 96)
LIDAR2IMG = np.array([[48.0, -60, 0, 0], [32, 0, -60, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmdet3d")
    torch.manual_seed(0)


def detector():
    return MODELS.build(Config.fromfile(find_config(DETECTOR)).model)


def point_detector():
    name = DETECTOR.replace("bev_gemini-map", "mvxnet_gemini-point")
    return MODELS.build(Config.fromfile(find_config(name)).model)


def detector_batch():
    rows = []
    for number in range(2):
        points = torch.rand(400, 4) * torch.tensor([20.0, 20, 2, 1]) + torch.tensor([0, -10, -2, 0])
        sample = Det3DDataSample()
        sample.set_metainfo(
            dict(sample_idx=number, lidar2img=LIDAR2IMG, scale_factor=(1.0, 1.0), flip=False,
                 ori_shape=SIZE, img_shape=SIZE, transformation_3d_flow=[],
                 box_type_3d=LiDARInstance3DBoxes)
        )  # fmt: skip
        boxes = LiDARInstance3DBoxes(torch.tensor([[10.0, 0, -1.7, 3.9, 1.6, 1.5, 0.1]]))
        sample.gt_instances_3d = InstanceData(bboxes_3d=boxes, labels_3d=torch.tensor([number]))
        rows.append((points, torch.randint(0, 255, (3, *SIZE)).byte(), sample))
    points, images, samples = (list(column) for column in zip(*rows))
    return dict(inputs=dict(points=points, img=images), data_samples=samples)


def segmentor():
    backbone = dict(type="GeminiMiT", dims=(8, 16), depths=(1, 1), num_heads=(1, 2),
                    sr_ratios=(2, 1), patch_sizes=(7, 3), strides=(4, 2), drop_path_rate=0.0,
                    operator=dict(type="GeminiFusion", num_heads=2))  # fmt: skip
    head = dict(type="SegFormerMLPHead", num_classes=5, embed_dim=7, dropout=0.0)
    preprocessor = dict(type="ModalityPreprocessor", modalities={m: {} for m in ("rgb", "depth")})
    return MODELS.build(dict(type="FusionSegmentor", backbone=backbone, decode_head=head,
                             data_preprocessor=preprocessor))  # fmt: skip


def segmentor_batch():
    size = (37, 61)
    inputs = {m: list(torch.randint(0, 256, (2, 3, *size)).byte()) for m in ("rgb", "depth")}
    samples = []
    for _ in range(2):
        labels = torch.randint(0, 5, (1, *size)).byte()
        samples.append(BaseDataElement(gt_sem_seg=PixelData(data=labels)))
        samples[-1].set_metainfo(dict(img_shape=size, ori_shape=size))
    return dict(inputs=inputs, data_samples=samples)


MODELS_AND_BATCHES = pytest.mark.parametrize(
    "build, batch",
    [(detector, detector_batch), (point_detector, detector_batch), (segmentor, segmentor_batch)],
    ids=["from above", "at the points", "segmentor"],
)


def losses_of(model, data, **options):
    """Losses of one step under the hook; the model is as before afterwards."""
    runner = SimpleNamespace(model=model.train())
    hook = HOOKS.build(dict(type="RobustTrainingHook", **options))
    hook.before_train(runner)
    losses = model(**model.data_preprocessor(copy.deepcopy(data), True), mode="loss")
    hook.after_train(runner)
    assert "forward" not in vars(model)
    return losses


def test_sensors_fail_as_often_as_told_at_least_one_and_never_all():
    strengths, exists = draw_strengths(20_000, ["camera", "lidar"], 0.3, 0.2)
    fails = strengths > 0
    # where none would (0.49), one does, either as often
    assert fails.mean(axis=0) == pytest.approx([0.545, 0.545], abs=0.015)
    assert (fails[:, 0] & fails[:, 1]).mean() == pytest.approx(0.09, abs=0.01)
    assert (~exists).mean(axis=0) == pytest.approx([0.109, 0.109], abs=0.01)
    assert fails.any(axis=1).all()
    assert exists.any(axis=1).all() and (strengths[~exists] == 1).all()
    _, exists = draw_strengths(200, ["camera", "lidar"], 1.0, 1.0)
    assert (exists.sum(axis=1) == 1).all() and 60 < exists[:, 0].sum() < 140
    strengths, _ = draw_strengths(50, ["camera", "lidar"], {"camera": 1.0}, 0.0)
    assert (strengths[:, 0] > 0).all() and (strengths[:, 1] == 0).all()


def test_strength_is_the_share_that_is_lost():
    images = torch.randn(2, 3, 40, 60)
    half = disturb_images(images, torch.tensor([0.0, 0.5]))
    assert torch.equal(half[0], images[0]) and not torch.equal(half[1], images[1])
    gone = disturb_images(images, torch.ones(2))
    assert abs(float(torch.corrcoef(torch.stack([gone.flatten(), images.flatten()]))[0, 1])) < 0.1
    points = torch.rand(4000, 4)
    left = disturb_points(points, 0.25)
    assert len(left) == pytest.approx(3000, abs=120)
    assert len(disturb_points(points, 1.0)) == 1 and disturb_points(points, 0.0) is points
    assert set(left[:, 3].tolist()) <= set(points[:, 3].tolist())


def test_copy_says_what_was_done_and_leaves_the_batch_alone():
    model = detector()
    data = model.data_preprocessor(detector_batch(), True)
    points = [p.clone() for p in data["inputs"]["points"]]
    inputs, samples = degrade_sensors(
        data["inputs"], data["data_samples"], 1.0, 0.0, model.data_preprocessor
    )
    assert all(torch.equal(a, b) for a, b in zip(points, data["inputs"]["points"]))
    assert STRENGTH_KEY not in data["data_samples"][0].metainfo
    for sample, before, after in zip(samples, points, inputs["points"]):
        strength = sample.metainfo[STRENGTH_KEY]
        assert len(after) / len(before) == pytest.approx(1 - strength["lidar"], abs=0.1)
        assert 0 < strength["camera"] < 1
        assert sample.metainfo["sensor_mask"] == dict(camera=[True], lidar=True)
    assert len(inputs["voxels"]["voxels"]) < len(data["inputs"]["voxels"]["voxels"])


def test_copy_of_a_batch_with_masked_sensors_keeps_one_for_each_sample():
    """ModalityDropout took some away before; what it left is not taken, too."""
    samples = [BaseDataElement(metainfo=dict(sensor_mask=dict(lidar=False))) for _ in range(200)]
    inputs = dict(imgs=torch.randn(200, 3, 2, 2), points=[torch.rand(5, 4)] * 200)
    _, copies = degrade_sensors(inputs, samples, 1.0, 0.5, None)
    masks = [sample.metainfo["sensor_mask"] for sample in copies]
    assert all(not mask["lidar"] and np.any(mask.get("camera", True)) for mask in masks)
    whole = [s for s, mask in zip(copies, masks) if "camera" not in mask]
    assert whole and all(s.metainfo[STRENGTH_KEY]["camera"] == 0 for s in whole)
    assert corruption_strengths([s.metainfo for s in whole], "lidar").tolist() == [1.0] * len(whole)


@MODELS_AND_BATCHES
def test_whole_batch_keeps_its_loss_and_the_copy_adds_one(build, batch):
    model, data = build(), batch()
    plain = model.train()(**model.data_preprocessor(copy.deepcopy(data), True), mode="loss")
    found = losses_of(model, data, chance=1.0, absent=0.0, weight=2.0)
    assert set(found) == {*plain, *(f"degraded_{name}" for name in plain)}
    total, same = (model.parse_losses({n: x[n] for n in plain})[0] for x in (plain, found))
    torch.testing.assert_close(same, total)
    undisturbed = losses_of(model, data, chance=0.0, weight=2.0)
    both = [undisturbed[f"degraded_{name}"] for name in plain]
    doubled, _ = model.parse_losses({f"loss{i}": value for i, value in enumerate(both)})
    torch.testing.assert_close(doubled, 2 * total, rtol=1e-4, atol=1e-4)


@MODELS_AND_BATCHES
def test_teacher_draws_the_copy_to_what_it_says_of_the_whole(build, batch, tmp_path):
    model, data = build(), batch()
    path = str(tmp_path / "teacher.pth")
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    found = losses_of(model, data, chance=1.0, absent=0.0, teacher=path)
    assert found["loss_teacher"] > 1e-4
    loss, _ = model.parse_losses(found)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert not any(name.startswith("teacher") for name in model.state_dict())


@MODELS_AND_BATCHES
def test_sensors_that_are_gone_are_trained_for(build, batch):
    model, data = build(), batch()
    found = losses_of(model, data, chance=1.0, absent=1.0)
    total, _ = model.parse_losses(found)
    assert total.isfinite() and any("degraded" in name for name in found)


def test_divergence_is_nothing_from_oneself_and_grows_with_the_distance():
    theirs = [torch.randn(2, 5, 8, 8)]
    for is_detector in (True, False):
        apart = [float(divergence([x * scale for x in theirs], theirs, is_detector))
                 for scale in (1.0, 0.5, -1.0)]  # fmt: skip
        assert apart[0] == pytest.approx(0, abs=1e-6) and apart[0] < apart[1] < apart[2]
    maps = torch.zeros(1)
    assert class_logits({"rgb": maps}) == class_logits(([maps], [maps])) == [maps]
    assert class_logits(([dict(heatmap=maps)],)) == [maps]


def test_what_cannot_be_is_refused(tmp_path):
    for wrong in (
        dict(chance=1.5),
        dict(absent={"camera": -1}),
        dict(weight=-1),
        dict(weight=float("nan")),
        dict(teacher_weight=float("inf")),
    ):
        with pytest.raises(ValueError, match="RobustTrainingHook"):
            HOOKS.build(dict(type="RobustTrainingHook", **wrong))
    path = str(tmp_path / "other.pth")
    torch.save(dict(state_dict={"x.weight": torch.zeros(2)}, meta={}), path)
    with pytest.raises(FormatError, match="other.pth"):
        losses_of(segmentor(), segmentor_batch(), teacher=path)


def test_teacher_may_lack_what_is_named(tmp_path):
    model, data, path = segmentor(), segmentor_batch(), str(tmp_path / "less.pth")
    state = {n: x for n, x in model.state_dict().items() if not n.startswith("ensemble")}
    torch.save(dict(state_dict=state, meta={}), path)
    said = r"ensemble\.alpha.*default_hooks\.robust\.teacher_allow_missing=\[NAME\] lets"
    with pytest.raises(FormatError, match=said):
        losses_of(model, data, teacher=path)
    found = losses_of(model, data, teacher=path, teacher_allow_missing=["ensemble"])
    assert found["loss_teacher"].isfinite()


def test_teacher_of_a_resumed_run_has_what_its_file_lacks_as_it_was(tmp_path):
    model, path = segmentor(), str(tmp_path / "less.pth")
    state = {n: x for n, x in model.state_dict().items() if not n.startswith("ensemble")}
    torch.save(dict(state_dict=state, meta={}), path)
    options = dict(type="RobustTrainingHook", teacher=path, teacher_allow_missing=["ensemble"])
    first, second = HOOKS.build(dict(options)), HOOKS.build(dict(options))
    checkpoint: dict = {}
    first.before_train(SimpleNamespace(model=model))
    first.before_save_checkpoint(None, checkpoint)
    first.after_train(SimpleNamespace(model=model))
    kept = {n: x.clone() for n, x in checkpoint["robust_teacher"].items()}
    assert kept and all(name.startswith("ensemble") for name in kept)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)  # what training does
    second.after_load_checkpoint(SimpleNamespace(_resume=True), checkpoint)
    second.before_train(SimpleNamespace(model=model))
    again: dict = {}
    second.before_save_checkpoint(None, again)
    assert all(torch.equal(again["robust_teacher"][name], kept[name]) for name in kept)


@pytest.mark.parametrize("option", ["chance", "absent"])
@pytest.mark.parametrize(
    ("build", "known"), [(detector, "camera, lidar"), (segmentor, "rgb, depth")]
)
def test_sensors_that_the_model_has_not_are_named(build, known, option):
    hook = HOOKS.build(dict(type="RobustTrainingHook", **{option: {"LiDAR": 0.5}}))
    with pytest.raises(ValueError, match=f"{option} names LiDAR; the model has {known}"):
        hook.before_train(SimpleNamespace(model=build()))


def test_model_with_a_training_step_of_its_own_is_refused():
    class Translator(BaseModel):
        def forward(self, inputs):
            return inputs

        def train_step(self, data, optim_wrapper):
            return {}

    hook = HOOKS.build(dict(type="RobustTrainingHook"))
    with pytest.raises(ValueError, match="Translator has a training step of its own"):
        hook.before_train(SimpleNamespace(model=Translator()))


def test_what_the_pipeline_corrupted_before_counts_on():
    """`SegModalityDropout` behind the hook: an image that it disturbed is not called clean."""
    inputs = {name: torch.zeros(1, 3, 8, 8) for name in ("rgb", "depth")}
    sample = BaseDataElement(metainfo={STRENGTH_KEY: {"rgb": 0.75}})
    for chance, wanted in ((0.0, 0.75), ({"rgb": 1.0}, 1.0)):
        _, (copied,) = degrade_modalities(inputs, [sample], chance, {"rgb": 1.0})
        assert copied.metainfo[STRENGTH_KEY] == {"rgb": wanted, "depth": 0.0}
    assert sample.metainfo[STRENGTH_KEY] == {"rgb": 0.75}
